"""What a network is, as values: enough to build its reference form with no weights at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stgcn_deploy.skeleton.inputs import InputSpec

__all__ = ["BlockSpec", "BranchSpec", "Join", "Motion", "NetworkSpec", "Residual"]

Residual = Literal["none", "identity", "conv"]
Adjacency = Literal["plain", "importance", "offset"]
InputNorm = Literal["none", "joint", "person"]
Join = Literal["conv", "relu", "none"]
Activation = Literal["softmax", "sigmoid"]
Motion = Literal["first_difference", "second_difference"]


@dataclass(frozen=True)
class BranchSpec:
    """One branch of a multi-scale temporal convolution.

    Attributes:
        kind: "conv" (1x1, BN, ReLU, dilated kernel), "max" (1x1, BN, ReLU, max pool) or "1x1".
        kernel: taps along T; for "1x1" always 1.
        after_bn: whether a batch normalisation follows the last operation of the branch.
    """

    kind: Literal["conv", "max", "1x1"]
    channels: int
    kernel: int = 3
    dilation: int = 1
    after_bn: bool = False


@dataclass(frozen=True)
class BlockSpec:
    """One spatial-temporal block.

    Attributes:
        residual: the block's residual, around graph and temporal convolution.
        graph_residual: the residual inside the graph convolution (pyskl's `with_res`).
        conv_first: the 1x1 convolution before the graph product (pyskl's `conv_pos='pre'`).
        adjacency: "plain" A, "importance" A * PA, "offset" A + PA.
        kernel: taps of the plain temporal convolution; unused when `branches` is given.
        branches: the multi-scale temporal convolution, else empty.
        join: what follows the concatenated branches: "conv" (BN, ReLU, 1x1, BN), "relu" or "none".
    """

    in_channels: int
    out_channels: int
    stride: int = 1
    residual: Residual = "identity"
    graph_residual: Residual = "none"
    conv_first: bool = True
    adjacency: Adjacency = "plain"
    kernel: int = 9
    branches: tuple[BranchSpec, ...] = ()
    join: Join = "conv"


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network.

    Attributes:
        family: a name of the table of families.
        axes: order of the first input's axes, e.g. "NCTVM".
        blocks: BlockSpec, or the family's own kind with in_channels, out_channels and stride.
        input_norm: data_bn per (V, C) shared by persons ("joint"), per (M, V, C) ("person"), none.
        num_persons: M where the network fixes it (input_norm "person"), else None.
        motion: for the two-stream family, how the motion stream is made; None for one stream.
        activation: what turns logits into probabilities.
        extra_inputs: graph inputs besides the first one.
        input_name: name of the first one.
        options: what only this family knows, as pairs.
        members: of an ensemble, the networks in it.
    """

    family: str
    axes: str
    in_channels: int
    num_joints: int
    num_subsets: int
    num_classes: int
    blocks: tuple[Any, ...]
    input_norm: InputNorm = "joint"
    num_persons: int | None = None
    motion: Motion | None = None
    activation: Activation = "softmax"
    extra_inputs: tuple[InputSpec, ...] = ()
    input_name: str = "input"
    options: tuple[tuple[str, Any], ...] = ()
    members: tuple[NetworkSpec, ...] = ()

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """All inputs of the graph."""
        first = InputSpec(self.input_name, self.axes, self.in_channels)
        return (first, *self.extra_inputs)

    def option(self, name: str) -> Any:
        """One of `options`."""
        return dict(self.options)[name]

    @property
    def temporal_stride(self) -> int:
        """How many input frames one frame before the pooling stands for."""
        stride = 1
        for block in self.blocks:
            stride *= int(block.stride)
        return stride
