"""The graph convolution as a fast graph, in three forms of the same function.

    aggregate   Z = X @ [A_0 | A_1 | ..], then one convolution with kernel (1, K), dilation (1, V):
                no Einsum, Transpose or Reshape; any opset
    einsum      1x1 convolution, then Einsum over (k, v), as trained codebases have it; opset 12
    matmul      1x1 convolution, one transpose, one flattened product (n c t, k v) @ (k v, w):
                for parsers that know neither Einsum nor dilated kernels (Ascend ATC)

All end in + bias by target joint, + shortcut, ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_deploy.models.folding import GraphWeights, as_parameter
from stgcn_deploy.models.shape import InputShape

__all__ = ["GRAPH_FORMS", "graph_unit"]

# Joint biases closer than this, relative to their size, are one bias: float64 rounding of colsums.
SAME_BIAS = 1e-12


class GraphUnit(nn.Module):
    """What the forms share: bias, shortcut and ReLU after `product`."""

    def __init__(self, folded: GraphWeights) -> None:
        super().__init__()
        self.identity = folded.identity
        self.num_joints = folded.adjacency.shape[-1]
        bias = folded.bias
        spread = (bias - bias[:, :1]).abs().max()
        self.plain_bias = bool(spread <= SAME_BIAS * bias.abs().max().clamp(min=1))
        if not self.plain_bias:
            self.joint_bias = as_parameter(bias[None, :, None, :])

    def conv_bias(self, folded: GraphWeights) -> Tensor | None:
        """The bias for the last convolution, where it is the same for every joint."""
        return folded.bias[:, 0] if self.plain_bias else None

    def product(self, x: Tensor) -> Tensor:
        """The sum over subsets, (N, C, T, V) -> (N, C', T, V)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T, V)."""
        y = self.product(x)
        if not self.plain_bias:
            y = y + self.joint_bias
        if self.identity:
            y = y + x
        return torch.relu(y)


def _conv(weight: Tensor, bias: Tensor | None, **options: object) -> nn.Conv2d:
    """A convolution with given float64 weights (O, I, h, w)."""
    out_channels, in_channels, height, width = weight.shape
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (height, width),
        bias=bias is not None,
        **options,  # type: ignore[arg-type]
    )
    conv.weight = as_parameter(weight)
    if bias is not None:
        conv.bias = as_parameter(bias)
    return conv


class AggregateUnit(GraphUnit):
    """Joints first.  A convolutional shortcut is one more subset, whose adjacency is I."""

    def __init__(self, folded: GraphWeights, shape: InputShape) -> None:
        super().__init__(folded)
        del shape  # this form has no reshape, so sizes do not matter to it
        adjacency, weights = folded.adjacency, folded.weights
        if folded.shortcut is not None:
            eye = torch.eye(self.num_joints, dtype=adjacency.dtype)
            adjacency = torch.cat([eye[None], adjacency])
            weights = torch.cat([folded.shortcut[None], weights])
        stacked = adjacency.permute(1, 0, 2).reshape(self.num_joints, -1)
        if folded.input_scale is not None:
            # One adjacency for each input channel: data_bn costs nothing at run time.
            stacked = folded.input_scale[:, :, None] * stacked[None]
        self.adjacency = as_parameter(stacked)
        self.conv = _conv(
            weights.permute(1, 2, 0)[:, :, None, :],
            self.conv_bias(folded),
            dilation=(1, self.num_joints),
        )

    def product(self, x: Tensor) -> Tensor:
        """See GraphUnit.product."""
        out: Tensor = self.conv(torch.matmul(x, self.adjacency))
        return out


class ConvFirstUnit(GraphUnit):
    """Channels first: the 1x1 convolution of all subsets, (N, K * C', T, V)."""

    def __init__(self, folded: GraphWeights, shape: InputShape) -> None:
        super().__init__(folded)
        if folded.input_scale is not None:
            self.input_scale = as_parameter(folded.input_scale[None, :, None, :])
        self.shape = shape
        self.num_subsets, self.channels, in_channels = folded.weights.shape
        self.conv = _conv(folded.weights.reshape(-1, in_channels, 1, 1), None)
        if folded.shortcut is not None:
            self.shortcut = _conv(folded.shortcut[:, :, None, None], None)
        if self.plain_bias:
            self.joint_bias = as_parameter(folded.bias[None, :, None, :1])
        self.adjacency = as_parameter(folded.adjacency)

    def subsets(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, K, C', T, V)."""
        y: Tensor = self.conv(x)
        k, c, v = self.num_subsets, self.channels, self.num_joints
        if self.shape.static("T"):
            return y.reshape(-1, k, c, self.shape.frames, v)
        if self.shape.static("N") and self.shape.static("M"):
            return y.reshape(self.shape.batch * self.shape.persons, k, c, -1, v)
        # Not unflatten: behind it the tracer takes the sizes for constants.
        return y.reshape(y.shape[0], k, c, y.shape[2], v)

    def mix(self, y: Tensor) -> Tensor:
        """(N, K, C', T, V) -> (N, C', T, V)."""
        raise NotImplementedError

    def product(self, x: Tensor) -> Tensor:
        """See GraphUnit.product."""
        if hasattr(self, "input_scale"):
            x = x * self.input_scale
        y = self.mix(self.subsets(x))
        if hasattr(self, "shortcut"):
            y = y + self.shortcut(x)
        if self.plain_bias:
            y = y + self.joint_bias
        return y


class EinsumUnit(ConvFirstUnit):
    """Einsum over subset and source joint."""

    def mix(self, y: Tensor) -> Tensor:
        """See ConvFirstUnit.mix."""
        return torch.einsum("nkctv,kvw->nctw", y, self.adjacency)


class MatMulUnit(ConvFirstUnit):
    """One product with (K * V, V)."""

    def __init__(self, folded: GraphWeights, shape: InputShape) -> None:
        super().__init__(folded, shape)
        self.adjacency = as_parameter(folded.adjacency.reshape(-1, self.num_joints))

    def mix(self, y: Tensor) -> Tensor:
        """See ConvFirstUnit.mix."""
        flat = y.permute(0, 2, 3, 1, 4).reshape(-1, self.num_subsets * self.num_joints)
        mixed = torch.matmul(flat, self.adjacency)
        c, v = self.channels, self.num_joints
        if self.shape.static("T"):
            return mixed.reshape(-1, c, self.shape.frames, v)
        if self.shape.static("N") and self.shape.static("M"):
            return mixed.reshape(self.shape.batch * self.shape.persons, c, -1, v)
        return mixed.reshape(y.shape[0], c, y.shape[3], v)


GRAPH_FORMS: dict[str, type[AggregateUnit] | type[EinsumUnit] | type[MatMulUnit]] = {
    "aggregate": AggregateUnit,
    "einsum": EinsumUnit,
    "matmul": MatMulUnit,
}


def graph_unit(folded: GraphWeights, form: str, shape: InputShape) -> GraphUnit:
    """A graph convolution in one of GRAPH_FORMS; `shape.frames` is T where the unit stands."""
    return GRAPH_FORMS[form](folded, shape)
