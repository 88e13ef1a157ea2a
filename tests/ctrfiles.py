"""Tiny CTR-GCN checkpoints in each codebase's own key format; see checkpoints.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from checkpoints import CLASSES, Draw, State

__all__ = ["NAMES", "NETWORKS", "STRIDES", "K", "Names", "V", "baseline", "ctrgcn"]

K, V, R = 3, 5, 4
WIDTHS = (8, 8, 12)
STRIDES = (1, 1, 2)


@dataclass(frozen=True)
class Names:
    """What a codebase calls the parts, and what it means by them."""

    axes: str = "NCTVM"
    block: str = "l{}"
    first: int = 1
    data_bn: str = "data_bn"
    head: str = "fc"
    graph: str = "PA"
    target: str = "row"
    relu_after_branches: bool = False

    def at(self, index: int) -> str:
        return self.block.format(index + self.first)


OFFICIAL = Names()
PYSKL = Names(
    "NMTVC", "backbone.net.{}", 0, "backbone.data_bn", "cls_head.fc_cls", "A", "column", True
)
MMACTION2 = Names(
    "NMTVC", "backbone.net.{}", 0, "backbone.data_bn", "cls_head.fc", "A", "column", True
)


def _norm(draw: Draw, key: str, features: int) -> State:
    """Scales of both signs: a pool does not commute with a negative one."""
    return draw.norm(key, features) | {f"{key}.weight": draw.uniform(features, low=-1.5)}


def _branches(draw: Draw, here: str, width: int) -> State:
    state: State = {}
    part = width // 4
    for index in range(4):
        at = f"{here}.branches.{index}"
        state |= draw.conv(f"{at}.0", part, width) | _norm(draw, f"{at}.1", part)
        if index < 2:
            state |= draw.conv(f"{at}.3.conv", part, part, 5) | _norm(draw, f"{at}.3.bn", part)
        if index == 2:
            state |= _norm(draw, f"{at}.4", part)
    return state


def _shell(
    draw: Draw, names: Names, persons: int, joints: int, half: Callable[..., State]
) -> State:
    """data_bn, head and the blocks; `half` gives what the two networks have of their own."""
    state = draw.norm(names.data_bn, persons * joints * 3)
    before = 3
    for index, width in enumerate(WIDTHS):
        here = names.at(index)
        state[f"{here}.gcn1.{names.graph}"] = draw.normal(K, joints, joints, scale=0.5)
        state |= half(here, before, width) | _norm(draw, f"{here}.gcn1.bn", width)
        if before != width:
            state |= draw.conv(f"{here}.gcn1.down.0", width, before)
            state |= _norm(draw, f"{here}.gcn1.down.1", width)
        if index and before != width:
            state |= draw.conv(f"{here}.residual.conv", width, before)
            state |= _norm(draw, f"{here}.residual.bn", width)
        before = width
    return state | {
        f"{names.head}.weight": draw.normal(CLASSES, before, scale=0.5),
        f"{names.head}.bias": draw.normal(CLASSES),
    }


def ctrgcn(names: Names = OFFICIAL, *, persons: int = 2, joints: int = V, seed: int = 0) -> State:
    draw = Draw(seed)

    def half(here: str, before: int, width: int) -> State:
        state = {f"{here}.gcn1.alpha": draw.uniform(1, low=0.4, high=0.8)}
        for k in range(K):
            at = f"{here}.gcn1.convs.{k}"
            state |= draw.conv(f"{at}.conv1", R, before) | draw.conv(f"{at}.conv2", R, before)
            state |= draw.conv(f"{at}.conv3", width, before) | draw.conv(f"{at}.conv4", width, R)
        return state | _branches(draw, f"{here}.tcn1", width)

    state = _shell(draw, names, persons, joints, half)
    if names.graph == "A":
        state["backbone.A"] = draw.normal(K, joints, joints)
    return state


def baseline(*, persons: int = 2, joints: int = V, seed: int = 1) -> State:
    draw = Draw(seed)

    def half(here: str, before: int, width: int) -> State:
        state: State = {}
        for k in range(K):
            state |= draw.conv(f"{here}.gcn1.conv_d.{k}", width, before)
        state |= draw.conv(f"{here}.tcn1.conv", width, width, 5)
        return state | _norm(draw, f"{here}.tcn1.bn", width)

    return _shell(draw, OFFICIAL, persons, joints, half)


NETWORKS: dict[str, Callable[..., State]] = {
    "ctr-gcn": ctrgcn,
    "pyskl-ctrgcn": lambda **options: ctrgcn(PYSKL, **options),
    "mmaction2-ctrgcn": lambda **options: ctrgcn(MMACTION2, **options),
    "ctr-gcn-baseline": baseline,
}
NAMES = {
    "ctr-gcn": OFFICIAL,
    "pyskl-ctrgcn": PYSKL,
    "mmaction2-ctrgcn": MMACTION2,
    "ctr-gcn-baseline": OFFICIAL,
}
