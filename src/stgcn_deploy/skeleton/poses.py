"""Where the joints of a layout stand in a picture: a person from the front, or one hand.

The face and the hands are drawn too large, so that their joints can be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.skeleton.layout import Edge

__all__ = ["standing_pose"]

Points = NDArray[np.float64]
Place = tuple[float, float]

# x to the viewer's right, y down, the head's top at 0 and the soles at 1.
_MIDDLE: dict[str, Place] = {
    "head": (0.0, 0.075), "nose": (0.0, 0.11), "neck": (0.0, 0.21),
    "mid_shoulder": (0.0, 0.275), "spine_shoulder": (0.0, 0.275), "thorax": (0.0, 0.275),
    "spine_mid": (0.0, 0.405), "torso": (0.0, 0.405), "spine": (0.0, 0.405), "belly": (0.0, 0.405),
    "spine_base": (0.0, 0.52), "pelvis": (0.0, 0.52), "mid_hip": (0.0, 0.52),
}  # fmt: skip
# The left side, which the viewer sees on the right.
_SIDE: dict[str, Place] = {
    "eye_inner": (0.042, 0.068), "eye": (0.084, 0.055), "eye_outer": (0.126, 0.068),
    "ear": (0.166, 0.11), "mouth": (0.042, 0.155),
    "shoulder": (0.135, 0.265), "elbow": (0.215, 0.395), "wrist": (0.262, 0.52),
    "hand": (0.28, 0.575), "hand_tip": (0.3, 0.64), "thumb": (0.225, 0.595),
    "pinky": (0.325, 0.58), "index": (0.285, 0.615),
    "pinky_knuckle": (0.335, 0.57), "index_knuckle": (0.243, 0.598),
    "middle_tip": (0.302, 0.655), "thumb_tip": (0.197, 0.568),
    "hip": (0.085, 0.54), "knee": (0.1, 0.72), "ankle": (0.11, 0.89), "heel": (0.072, 0.945),
    "foot": (0.14, 0.95), "foot_index": (0.15, 0.955), "big_toe": (0.125, 0.965),
    "small_toe": (0.182, 0.95),
}  # fmt: skip
_BODY: dict[str, Place] = {
    **_MIDDLE,
    **{f"left_{name}": place for name, place in _SIDE.items()},
    **{f"right_{name}": (-x, y) for name, (x, y) in _SIDE.items()},
}
_HAND: dict[str, Place] = {
    "wrist": (0.0, 0.97),
    "thumb_1": (-0.15, 0.85), "thumb_2": (-0.26, 0.72), "thumb_3": (-0.35, 0.61),
    "thumb_4": (-0.43, 0.51),
    "index_1": (-0.14, 0.49), "index_2": (-0.17, 0.32), "index_3": (-0.185, 0.19),
    "index_4": (-0.2, 0.07),
    "middle_1": (-0.03, 0.46), "middle_2": (-0.03, 0.27), "middle_3": (-0.03, 0.13),
    "middle_4": (-0.03, 0.0),
    "ring_1": (0.08, 0.48), "ring_2": (0.105, 0.31), "ring_3": (0.12, 0.18), "ring_4": (0.135, 0.06),
    "pinky_1": (0.185, 0.55), "pinky_2": (0.235, 0.42), "pinky_3": (0.265, 0.31),
    "pinky_4": (0.295, 0.21),
}  # fmt: skip
_SPACE = 0.06  # between joints that stand where we put them
_GOLDEN = math.pi * (3 - math.sqrt(5))


def standing_pose(joints: Sequence[str], edges: Sequence[Edge]) -> Points:
    """A place (V, 2) for each joint, x to the right, y down, no two alike.

    Known names stand on a body or a hand.  Others stand amid their neighbours, or in a row below
    where no way leads to a known joint; where hardly any name is known, all stand on a circle.
    """
    places: Points = np.full((len(joints), 2), np.nan)
    table = max((_BODY, _HAND), key=lambda names: sum(joint in names for joint in joints))
    taken: set[Place] = set()
    for index, joint in enumerate(joints):
        # Two names for one place, as pelvis and mid_hip: the second makes way.
        if joint in table and table[joint] not in taken:
            places[index] = table[joint]
            taken.add(table[joint])
    known = ~np.isnan(places[:, 0])
    if known.all():
        return places
    links = _links(len(joints), edges)
    if known.sum() < 2:
        return _circle(links)
    return _amid(places, known, links)


def _links(count: int, edges: Sequence[Edge]) -> NDArray[np.bool_]:
    links = np.zeros((count, count), dtype=bool)
    for child, parent in edges:
        links[child, parent] = links[parent, child] = child != parent
    return links


def _walk(links: NDArray[np.bool_]) -> list[int]:
    """All joints, each after a neighbour wherever there is one (depth first)."""
    order: list[int] = []
    for start in range(len(links)):
        stack = [start]
        while stack:
            joint = stack.pop()
            if joint not in order:
                order.append(joint)
                stack += [int(other) for other in np.flatnonzero(links[joint])[::-1]]
    return order


def _circle(links: NDArray[np.bool_]) -> Points:
    places: Points = np.zeros((len(links), 2))
    for position, joint in enumerate(_walk(links)):
        angle = 2 * math.pi * position / len(links)
        places[joint] = (0.45 * math.sin(angle), 0.5 - 0.5 * math.cos(angle))
    return places


def _amid(places: Points, known: NDArray[np.bool_], links: NDArray[np.bool_]) -> Points:
    """Unknown joints in the middle of their neighbours, then pushed apart.

    The middles solve L x = 0 with the known joints held, L the graph's Laplacian.
    """
    hops = _hops_from(known, links)
    inner = np.flatnonzero(~known & np.isfinite(hops))
    if inner.size:
        laplacian = np.diag(links.sum(axis=1)) - links.astype(float)
        held = np.flatnonzero(known)
        pull = -laplacian[np.ix_(inner, held)] @ places[held]
        places[inner] = np.linalg.solve(laplacian[np.ix_(inner, inner)], pull)
        # A chain that hangs on one joint would shrink to a point: it is pulled outwards.
        outward = places[inner] - places[held].mean(axis=0)
        turn = np.stack([np.cos(_GOLDEN * inner), np.sin(_GOLDEN * inner)], axis=-1)
        outward = outward / (np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9) + 0.3 * turn
        places[inner] += 0.5 * _SPACE * hops[inner, None] * outward
        _push_apart(places, inner, np.flatnonzero(known | np.isfinite(hops)))
    loose = np.flatnonzero(~np.isfinite(hops))
    middle = np.arange(loose.size) - (loose.size - 1) / 2
    places[loose, 0] = middle * min(2 * _SPACE, 0.9 / max(1, loose.size))
    places[loose, 1] = np.nanmax(places[:, 1]) + 2 * _SPACE
    return places


def _hops_from(known: NDArray[np.bool_], links: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Hops to the nearest known joint, infinite where no way leads to one."""
    hops = np.where(known, 0.0, np.inf)
    for _ in range(len(links)):
        through = np.where(links, hops[None, :] + 1, np.inf).min(axis=1)
        hops = np.minimum(hops, through)
    return hops


def _push_apart(places: Points, movable: NDArray[np.intp], among: NDArray[np.intp]) -> None:
    """Move some joints, in place, until none is closer than _SPACE to another (or nearly)."""
    for _ in range(300):
        moved = False
        for joint in movable:
            others = among[among != joint]
            away = places[joint] - places[others]
            far = np.linalg.norm(away, axis=1)
            close = far < _SPACE
            if close.any():
                push = away[close] / (far[close, None] + 1e-9) * (_SPACE - far[close, None])
                places[joint] += 0.6 * push.sum(axis=0) + 1e-4
                moved = True
        if not moved:
            return
