"""From one layout's joints to another's: by name, and where a joint is defined by others, from them.

COCO has no neck and OpenPose has one; OpenPose itself defines it as the middle of the shoulders, so
it can be made.  A nose is not a head: such stand-ins are listed apart and taken only when allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["DERIVED", "NEAR", "Correspondence", "Origin", "Recipe", "correspondence", "remap"]

Array = NDArray[Any]
Kind = Literal["same", "derived", "near", "missing"]


@dataclass(frozen=True)
class Recipe:
    """A joint as the mean of others.

    Attributes:
        sources: names; all of them must be seen for the joint to be seen.
        score: how image data's scores combine.
    """

    sources: tuple[str, ...]
    score: Literal["min", "mean"] = "min"


_SHOULDERS = ("left_shoulder", "right_shoulder")
_HIPS = ("left_hip", "right_hip")
_MID_HIPS = ("mid_hip", "pelvis", "spine_base")
_TRUNKS = ("spine_mid", "torso", "spine", "belly")


def _others(names: tuple[str, ...], last: Recipe) -> dict[str, tuple[Recipe, ...]]:
    """Each name from any of the others, else from `last`."""
    return {name: (*(Recipe((other,)) for other in names if other != name), last) for name in names}


def _both_sides(table: dict[str, tuple[str, ...]]) -> dict[str, tuple[Recipe, ...]]:
    return {
        f"{side}_{name}": tuple(Recipe((f"{side}_{source}",)) for source in sources)
        for side in ("left", "right")
        for name, sources in table.items()
    }


# Joint -> how it is defined through others, the best recipe first.
DERIVED: dict[str, tuple[Recipe, ...]] = {
    "neck": (Recipe(_SHOULDERS),),
    # TSSTG appends this joint with the mean of all channels, the score too.
    "mid_shoulder": (Recipe(_SHOULDERS, "mean"),),
    "spine_shoulder": (Recipe(_SHOULDERS),),
    "thorax": (Recipe(_SHOULDERS),),
    **_others(_MID_HIPS, Recipe(_HIPS)),
}

# Joint -> what lies near it, the nearest first; another point of the body all the same.
NEAR: dict[str, tuple[Recipe, ...]] = {
    "head": (Recipe(("left_ear", "right_ear")), Recipe(("nose",))),
    "nose": (Recipe(("head",)),),
    **_others(_TRUNKS, Recipe((*_SHOULDERS, *_HIPS))),
    **_both_sides(
        {
            "hand": ("middle_tip", "index", "index_knuckle", "wrist"),
            "hand_tip": ("middle_tip", "index", "hand"),
            "thumb": ("thumb_tip",),
            "thumb_tip": ("thumb",),
            "index": ("index_knuckle", "hand_tip"),
            "index_knuckle": ("index",),
            "pinky": ("pinky_knuckle",),
            "pinky_knuckle": ("pinky",),
            "middle_tip": ("hand_tip",),
            "foot": ("big_toe", "foot_index", "ankle"),
            "big_toe": ("foot_index", "foot"),
            "foot_index": ("big_toe", "foot"),
        }
    ),
}


@dataclass(frozen=True)
class Origin:
    """Where one joint of the target comes from.

    Attributes:
        kind: "same" name, "derived" by definition, "near" stand-in, or "missing".
        sources: joint indices of the source layout; empty when missing.
    """

    joint: str
    kind: Kind
    sources: tuple[int, ...] = ()
    score: Literal["min", "mean"] = "min"


@dataclass(frozen=True)
class Correspondence:
    """Two layouts side by side; `str()` is a readable table.

    Attributes:
        origins: one for each joint of the target.
    """

    source: Layout
    target: Layout
    origins: tuple[Origin, ...]

    def of_kind(self, *kinds: Kind) -> tuple[str, ...]:
        """Joints of the target that come about in one of these ways."""
        return tuple(origin.joint for origin in self.origins if origin.kind in kinds)

    @property
    def unused(self) -> tuple[str, ...]:
        """Joints of the source that no joint of the target is made from."""
        used = {index for origin in self.origins for index in origin.sources}
        return tuple(n for index, n in enumerate(self.source.joints) if index not in used)

    def explain(self, origin: Origin) -> str:
        """One origin in words."""
        names = [self.source.joints[index] for index in origin.sources]
        if origin.kind == "missing":
            return "missing"
        if origin.kind == "same":
            return f"joint {origin.sources[0]}"
        text = names[0] if len(names) == 1 else f"mean of {', '.join(names)}"
        return text if origin.kind == "derived" else f"near: {text}"

    def __str__(self) -> str:
        wide = max(len(origin.joint) for origin in self.origins)
        lines = [f"{self.target.name} from {self.source.name}"]
        lines += [
            f"  {index:>2} {origin.joint:<{wide}}  {self.explain(origin)}"
            for index, origin in enumerate(self.origins)
        ]
        if self.unused:
            lines.append(f"  unused: {', '.join(self.unused)}")
        return "\n".join(lines)


def _layout(layout: Layout | str) -> Layout:
    return LAYOUTS[layout] if isinstance(layout, str) else layout


def correspondence(source: Layout | str, target: Layout | str) -> Correspondence:
    """How each joint of `target` can be had from the joints of `source`.

    Raises:
        UnknownNameError: a name that is no layout.
    """
    have, want = _layout(source), _layout(target)
    index = {name: position for position, name in enumerate(have.joints)}
    return Correspondence(have, want, tuple(_origin(name, index) for name in want.joints))


def _origin(joint: str, index: dict[str, int]) -> Origin:
    if joint in index:
        return Origin(joint, "same", (index[joint],))
    tables: tuple[tuple[Kind, dict[str, tuple[Recipe, ...]]], ...]
    tables = (("derived", DERIVED), ("near", NEAR))
    for kind, table in tables:
        for recipe in table.get(joint, ()):
            if all(name in index for name in recipe.sources):
                return Origin(joint, kind, tuple(index[n] for n in recipe.sources), recipe.score)
    return Origin(joint, "missing")


def remap(
    clip: Array,
    source: Layout | str,
    target: Layout | str,
    *,
    near: bool = False,
    absent: bool = False,
    neck: Literal["mean", "sum"] = "mean",
) -> Array:
    """A clip (M, T, V, C) in another layout, (M, T, V', C).

    Joints keep their values; what is not seen (all channels 0, for image data also score 0, or not
    finite) stays so, and a derived joint is not seen, all channels 0, unless all its sources are.

    Args:
        near: take stand-ins for joints that the source has not, e.g. the nose for the head.
        absent: leave joints that cannot be had absent, all channels 0.
        neck: "sum" adds the shoulders, scores and unseen ones included, instead of their mean: the
            feeder of 2s_st-gcn does so, and networks that it trained expect it.  It adds pixels:
            call this before coordinates are normalised.

    Raises:
        ClipError: the clip is not (M, T, V, C) of the source.
        UsageError: joints are missing; image points would have to become metric ones or back;
            `neck="sum"` where no neck is made from shoulders.
    """
    found = correspondence(source, target)
    _check(clip, found)
    _check_missing(found, near=near, absent=absent)
    if neck == "sum" and "neck" not in found.of_kind("derived"):
        raise UsageError(
            f"neck='sum' is for a neck made of shoulders; {found.target.name} from "
            f"{found.source.name} makes none."
        )
    scored = found.source.dimensions == 2 and clip.shape[-1] > 2
    kind = clip.dtype if np.issubdtype(clip.dtype, np.floating) else np.dtype(np.float64)
    values = clip.astype(kind)
    out = np.zeros((*clip.shape[:2], len(found.origins), clip.shape[3]), dtype=kind)
    for position, origin in enumerate(found.origins):
        if origin.kind == "missing" or (origin.kind == "near" and not near):
            continue
        parts = values[:, :, list(origin.sources)]
        if len(origin.sources) == 1:
            out[:, :, position] = parts[:, :, 0]
        elif neck == "sum" and origin.joint == "neck":
            out[:, :, position] = parts.sum(axis=2)
        else:
            out[:, :, position] = _combine(parts, origin, scored=scored)
    return out


def _combine(parts: Array, origin: Origin, *, scored: bool) -> Array:
    """The mean of joints (M, T, S, C), zeros where one of them is not seen."""
    seen = np.isfinite(parts).all(axis=-1) & (parts != 0).any(axis=-1)
    if scored:
        seen &= parts[..., 2] != 0
    whole = seen.all(axis=2)[..., None]
    parts = np.where(whole[:, :, None], parts, 0)
    mean: Array = parts.mean(axis=2)
    if scored and origin.score == "min":
        mean[..., 2] = parts[..., 2].min(axis=2)
    return mean


def _check(clip: Array, found: Correspondence) -> None:
    source, target = found.source, found.target
    expected = f"(M, T, {source.num_joints}, C) with x, y first, as {source.name} has it"
    if clip.ndim != 4 or clip.shape[2] != source.num_joints or clip.shape[3] < 2:
        raise ClipError(f"the clip to remap has shape {clip.shape}, expected {expected}.")
    if not np.issubdtype(clip.dtype, np.number) or np.iscomplexobj(clip):
        raise ClipError(f"the clip to remap has dtype {clip.dtype}, expected numbers {expected}.")
    if source.dimensions != target.dimensions and clip.shape[3] > 2:
        third = {2: "x, y, score", 3: "x, y, z"}
        raise UsageError(
            f"{source.name} holds {third[source.dimensions]} and {target.name} "
            f"{third[target.dimensions]}: renaming joints cannot turn one into the other. Where x "
            "and y are enough, give clip[..., :2]."
        )


def _check_missing(found: Correspondence, *, near: bool, absent: bool) -> None:
    if not found.of_kind("same", "derived", *(("near",) if near else ())):
        raise UsageError(f"{found.source.name} and {found.target.name} have no joint in common.")
    missing = [
        origin
        for origin in found.origins
        if origin.kind == "missing" or (origin.kind == "near" and not near)
    ]
    if absent or not missing:
        return
    listed = ", ".join(origin.joint for origin in missing)
    ways = ["absent=True leaves them absent (all zero)"]
    stand_ins = [origin for origin in missing if origin.kind == "near"]
    if stand_ins:
        described = "; ".join(f"{o.joint}: {found.explain(o)[6:]}" for o in stand_ins)
        some = "" if len(stand_ins) == len(missing) else " for some"
        ways.insert(0, f"near=True takes stand-ins{some} ({described})")
    raise UsageError(
        f"{found.target.name} has {len(missing)} joint(s) that cannot be had from "
        f"{found.source.name}: {listed}. What could be done: {'; '.join(ways)}."
    )
