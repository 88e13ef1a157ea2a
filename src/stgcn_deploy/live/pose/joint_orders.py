"""Joints as networks give them, where that is more than a layout of ours has.

COCO-WholeBody and Halpe begin with COCO's 17, and both go on with the feet, so that BODY_25 can be had
of them too.  Sources: the data sets' own lists, which MMPose's configs/_base_/datasets repeat.
"""

from __future__ import annotations

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["USUAL", "pick_joints"]

USUAL = "coco17"
_COCO = LAYOUTS[USUAL].joints
_HALPE = (
    *_COCO, "head", "neck", "mid_hip", "left_big_toe", "right_big_toe", "left_small_toe",
    "right_small_toe", "left_heel", "right_heel",
)  # fmt: skip
_FEET = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
)
# Number of joints -> what the first of them are called; of a whole body, face and hands are left out.
ORDERS: dict[int, tuple[str, ...]] = {17: _COCO, 26: _HALPE, 133: (*_COCO, *_FEET)}


def pick_joints(what: str, count: int, layout: str | None) -> tuple[str, list[int] | None]:
    """The layout that a network of `count` joints gives, and which of its joints that takes.

    Args:
        what: the network, for messages.
        layout: what the user says; None: COCO's 17 where they are the first of the network's.

    Returns:
        (name, indices of joints); None for all of them as they stand.

    Raises:
        UsageError: the numbers do not fit; UnknownNameError: no such layout.
    """
    wanted = LAYOUTS[layout or USUAL]
    if wanted.num_joints == count:
        return wanted.name, None
    order = ORDERS.get(count, ())
    if order and set(wanted.joints) <= set(order):
        return wanted.name, [order.index(joint) for joint in wanted.joints]
    fitting = [name for name, one in LAYOUTS.items() if one.num_joints == count]
    hint = (
        f" Layouts of {count} joints: {', '.join(fitting)}; if it is one of them, say so: --pose-layout "
        "NAME (pose: layout: in YAML)."
        if fitting
        else " No layout of `stgcn layouts` has so many."
    )
    raise UsageError(
        f"{what} gives {count} joints, and layout {wanted.name} has {wanted.num_joints}.{hint}"
    )
