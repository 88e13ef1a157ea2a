"""Reference form of a one-stream network: input norm, blocks, global average, linear head."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from stgcn_deploy.models.blocks import InputNorm
from stgcn_deploy.models.spec import NetworkSpec

__all__ = ["Network"]


class Network(nn.Module):
    """Logits of a batch in the codebase's own axis order.

    Absent persons are zeros; they pass through and take part in the mean over M, as in training.

    Args:
        blocks: modules (N, C, T, V) -> (N, C', T', V), one for each of `spec.blocks`.
    """

    def __init__(self, spec: NetworkSpec, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.spec = spec
        if spec.input_norm != "none":
            features = spec.num_joints * spec.in_channels
            if spec.input_norm == "person":
                features *= spec.num_persons or 1
            self.data_bn = InputNorm(features, per_person=spec.input_norm == "person")
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(spec.blocks[-1].out_channels, spec.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Input in the order of `spec.axes` -> (N, M, C)."""
        axes = self.spec.axes
        if "M" not in axes:
            x, axes = x.unsqueeze(-1), f"{axes}M"
        x = x.permute([axes.index(axis) for axis in "NMTVC"])
        n, m, t, v, c = x.shape
        if self.spec.input_norm == "none":
            x = x.reshape(n * m, t, v, c).permute(0, 3, 1, 2)
        else:
            x = self.data_bn(x)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3)).reshape(n, m, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Input in the order of `spec.axes` -> logits (N, num_classes)."""
        logits: Tensor = self.head(self.features(x).mean(dim=1))
        return logits
