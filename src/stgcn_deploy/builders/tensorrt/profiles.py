"""Shapes that an engine is made for: those of the manifest, with a range for every open axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.errors import UsageError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.inputs import OPEN_AXES

__all__ = ["Profile", "Range", "Shape", "add_profile", "profile_of"]

Shape = tuple[int, ...]
# Smallest, usual and largest size of one axis.
Range = tuple[int, int, int]
WRITE = "write it as batch=1:4:8 (smallest:usual:largest)"


@dataclass(frozen=True)
class Profile:
    """Sizes of every axis and the shapes that follow.

    Attributes:
        ranges: by axis letter (N, M, T, V); a fixed axis has the same size three times.
        shapes: by input, smallest, usual and largest native shape.
        declared: by input, its shape in the graph, -1 where it is open.
    """

    ranges: Mapping[str, Range]
    shapes: Mapping[str, tuple[Shape, Shape, Shape]]
    declared: Mapping[str, Shape]

    @property
    def open_inputs(self) -> tuple[str, ...]:
        """Inputs with an open axis."""
        return tuple(name for name, shape in self.declared.items() if -1 in shape)

    @property
    def usual(self) -> dict[str, Shape]:
        """The shape of each input that TensorRT tunes for."""
        return {name: shapes[1] for name, shapes in self.shapes.items()}

    @property
    def record(self) -> dict[str, tuple[Shape, ...]]:
        """For the manifest: one shape where it is fixed."""
        return {
            name: shapes if name in self.open_inputs else shapes[:1]
            for name, shapes in self.shapes.items()
        }

    @property
    def words(self) -> tuple[str, ...]:
        """Each open axis with its range."""
        return tuple(
            f"{OPEN_AXES[axis]} {low} to {high}, tuned for {usual}"
            for axis, (low, usual, high) in self.ranges.items()
            if axis in OPEN_AXES and low != high
        )


def profile_of(manifest: Manifest, options: TensorRtOptions) -> Profile:
    """The profile for a bundle and what was asked for.

    An open axis has the range that was verified, tuned for the traced size, where nothing is said.

    Raises:
        UsageError: an axis that is not open, or a range outside the verified one.
    """
    clip = manifest.clip
    traced = {"N": clip.batch, "M": clip.persons, "T": clip.frames, "V": clip.joints}
    ranges: dict[str, Range] = {axis: (size, size, size) for axis, size in traced.items()}
    verified: dict[str, tuple[int, int]] = dict(clip.dynamic.items())
    for axis, (low, high) in verified.items():
        ranges[axis] = (low, min(max(traced[axis], low), high), high)
    asked = _asked(manifest, options.profile)
    if options.max_batch is not None:
        asked = _with_max_batch(manifest, asked, options.max_batch)
    for axis, wanted in asked.items():
        _check(axis, wanted, verified[axis])
        ranges[axis] = wanted
    shapes = {
        spec.name: tuple(
            tuple(
                int(size)
                for size in spec.shape({axis: sizes[place] for axis, sizes in ranges.items()})
            )
            for place in range(3)
        )
        for spec in manifest.input_specs
    }
    declared = {
        name: tuple(-1 if isinstance(size, str) else size for size in shape)
        for name, shape in manifest.input_shapes.items()
    }
    return Profile(ranges, shapes, declared)  # type: ignore[arg-type]


def _asked(manifest: Manifest, text: str | None) -> dict[str, Range]:
    """Axis letter -> range, of --profile."""
    opened = list(manifest.clip.dynamic)
    found: dict[str, Range] = {}
    for part in (text or "").split(",") if text else []:
        name, equals, numbers = part.strip().rpartition("=")
        if not equals:
            if len(opened) != 1:
                raise UsageError(
                    f"--profile {part!r} names no axis, and {_open_words(manifest)}; {WRITE}."
                )
            name = opened[0]
        axis = _axis(name, manifest)
        if axis in found:
            raise UsageError(f"--profile names {OPEN_AXES[axis]} twice.")
        found[axis] = _range(part, numbers)
    return found


def _axis(name: str, manifest: Manifest) -> str:
    """The letter of an axis by letter or name; it must be open."""
    letters = {word: axis for axis, word in OPEN_AXES.items()} | {axis: axis for axis in OPEN_AXES}
    axis = letters.get(name.strip()) or letters.get(name.strip().lower())
    if axis is None:
        known = list(OPEN_AXES.values())
        raise UsageError(
            f"--profile: there is no axis {name!r}{nearest(name, known)} Axes: {', '.join(known)}."
        )
    if axis not in manifest.clip.dynamic:
        raise UsageError(
            f"--profile: {OPEN_AXES[axis]} is fixed in this bundle, {_open_words(manifest)}; export "
            f"it with --dynamic {OPEN_AXES[axis]} to choose a range."
        )
    return axis


def _open_words(manifest: Manifest) -> str:
    names = [OPEN_AXES[axis] for axis in manifest.clip.dynamic]
    return f"open are {', '.join(names)}" if names else "it has no open axis"


def _range(part: str, numbers: str) -> Range:
    try:
        low, usual, high = (int(one) for one in numbers.split(":"))
    except ValueError:
        raise UsageError(f"--profile {part!r} is no range; {WRITE}.") from None
    if not 1 <= low <= usual <= high:
        raise UsageError(
            f"--profile {part!r}: sizes must be at least 1 and must not fall; {WRITE}."
        )
    return low, usual, high


def _with_max_batch(manifest: Manifest, asked: dict[str, Range], most: int) -> dict[str, Range]:
    """The ranges with the batch cut at `most`."""
    if "N" in asked:
        raise UsageError("--max-batch and a batch in --profile are two answers; give one.")
    if "N" not in manifest.clip.dynamic:
        if most == manifest.clip.batch:
            return asked
        raise UsageError(
            f"--max-batch {most}: this bundle takes exactly {manifest.clip.batch} clip(s) a call; "
            "export it with --dynamic batch."
        )
    low = manifest.clip.dynamic["N"][0]
    if most < low:
        raise UsageError(f"--max-batch {most} is below the smallest batch of this bundle, {low}.")
    return {**asked, "N": (low, min(max(manifest.clip.batch, low), most), most)}


def _check(axis: str, wanted: Range, verified: tuple[int, int]) -> None:
    low, high = verified
    if wanted[0] < low or wanted[2] > high:
        raise UsageError(
            f"{OPEN_AXES[axis]} {wanted[0]} to {wanted[2]} goes beyond {low} to {high}, for which "
            f"this bundle was verified; stay within, or export it with a wider range."
        )


def add_profile(builder: Any, config: Any, profile: Profile) -> Any:
    """Tell TensorRT the ranges of open axes; the profile object, or None where nothing is open.

    Raises:
        UsageError: TensorRT refuses them.
    """
    if not profile.open_inputs:
        return None
    made = builder.create_optimization_profile()
    for name in profile.open_inputs:
        made.set_shape(name, *profile.shapes[name])
    if config.add_optimization_profile(made) < 0:
        raise UsageError(
            f"TensorRT refuses the profile ({'; '.join(profile.words)}); choose other sizes with "
            "--profile."
        )
    return made
