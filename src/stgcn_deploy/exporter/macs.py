"""Multiply-accumulates and parameters, counted on the reference form (1 MAC = 2 FLOP)."""

from __future__ import annotations

from stgcn_deploy.models.spec import BlockSpec, NetworkSpec

__all__ = ["count_macs"]


def _temporal(block: BlockSpec, frames_in: int, frames_out: int) -> int:
    co = block.out_channels
    if not block.branches:
        return co * co * block.kernel * frames_out
    total = 0
    for branch in block.branches:
        entry_frames = frames_out if branch.kind == "1x1" else frames_in
        total += co * branch.channels * entry_frames
        if branch.kind == "conv":
            total += branch.channels**2 * branch.kernel * frames_out
    return total + sum(branch.channels for branch in block.branches) * co * frames_out


def count_macs(spec: NetworkSpec, *, frames: int, persons: int, aggregate: bool = False) -> int:
    """MACs of one clip: 1x1 convolutions, dense graph products, temporal and residual convolutions.

    Args:
        aggregate: count the graph product before the 1x1 convolution, as the aggregate form has it,
            instead of where the network was trained with it.
    """
    v, k = spec.num_joints, spec.num_subsets
    total, t = 0, frames
    for block in spec.blocks:
        ci, co = block.in_channels, block.out_channels
        after = -(-t // block.stride)
        per_joint = k * ci * co * t
        per_joint += k * v * (co if block.conv_first and not aggregate else ci) * t
        per_joint += ci * co * t if block.graph_residual == "conv" else 0
        per_joint += ci * co * after if block.residual == "conv" else 0
        total += v * (per_joint + _temporal(block, t, after))
        t = after
    streams = 2 if spec.motion else 1
    head = spec.blocks[-1].out_channels * spec.num_classes
    return streams * (persons * total + head)
