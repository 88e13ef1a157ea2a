"""What an export is asked for, as one value; presets fill what the user left open."""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.errors import ExportError, UnknownNameError, UsageError
from stgcn_deploy.models.graphforms import GRAPH_FORMS
from stgcn_deploy.registry import nearest

__all__ = ["DYNAMIC_RANGES", "PRESETS", "ExportOptions", "Preset"]

MIN_OPSET, MAX_OPSET, DEFAULT_OPSET = 11, 20, 18
EINSUM_OPSET = 12
# What an open axis is verified for; the ends of the guides' own settings.
DYNAMIC_RANGES = {"N": (1, 8), "T": (50, 200), "M": (1, 5)}
AXIS_NAMES = {"batch": "N", "frames": "T", "persons": "M"}


@dataclass(frozen=True)
class Preset:
    """Answers for what was not said."""

    batch: int
    dynamic: tuple[str, ...]
    optimise: bool
    meaning: str


PRESETS: dict[str, Preset] = {
    "realtime": Preset(1, ("frames",), True, "one window at a time, 50 to 200 frames"),
    "batch": Preset(8, (), True, "eight clips at a time, fixed shapes"),
    "development": Preset(1, (), False, "the network as it is, nothing folded: for debugging"),
    "custom": Preset(1, (), True, "one clip, fixed shapes; everything by options"),
}


@dataclass(frozen=True)
class ExportOptions:
    """How to write the graph.

    Attributes:
        dynamic: letters of the open axes.
        graph_form: one of GRAPH_FORMS, "auto" (measured here), or "reference" (nothing folded).
        logits: raw scores instead of probabilities.
        skip_absent: run only occupied person slots, see models.persons.

    Raises:
        ExportError, UsageError: contradictions, from __post_init__.
    """

    batch: int = 1
    dynamic: frozenset[str] = frozenset()
    graph_form: str = "auto"
    opset: int = DEFAULT_OPSET
    logits: bool = False
    external_data: bool = False
    skip_absent: bool = False

    def __post_init__(self) -> None:
        forms = ("auto", "reference", *GRAPH_FORMS)
        if self.graph_form not in forms:
            raise UnknownNameError(
                f"unknown graph form {self.graph_form!r}{nearest(self.graph_form, forms)} "
                f"Known: {', '.join(forms)}."
            )
        if not MIN_OPSET <= self.opset <= MAX_OPSET:
            raise ExportError(
                f"opset {self.opset} cannot be written; give {MIN_OPSET} to {MAX_OPSET} "
                f"(default {DEFAULT_OPSET})."
            )
        if self.opset < EINSUM_OPSET and self.graph_form in ("einsum", "reference"):
            raise ExportError(
                f"the {self.graph_form} form needs Einsum, which ONNX has from opset "
                f"{EINSUM_OPSET} on; with --opset {self.opset} use --graph-form aggregate or matmul."
            )
        if self.skip_absent and self.graph_form == "reference":
            raise ExportError(
                "the reference form is the network as it is and runs every person slot; leave out "
                "--skip-absent, or use another --graph-form or --preset."
            )
        if self.batch < 1:
            raise UsageError(f"batch must be at least 1, got {self.batch}.")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The forms that "auto" has to choose from."""
        if self.graph_form != "auto":
            return (self.graph_form,)
        return tuple(f for f in GRAPH_FORMS if f != "einsum" or self.opset >= EINSUM_OPSET)


def parse_dynamic(names: str | None) -> frozenset[str]:
    """Letters for "batch,frames,persons".

    Raises:
        UnknownNameError: another word.
    """
    letters = set()
    for name in filter(None, (part.strip() for part in (names or "").split(","))):
        if name not in AXIS_NAMES:
            raise UnknownNameError(
                f"unknown axis {name!r}{nearest(name, AXIS_NAMES)} Axes that can be dynamic: "
                f"{', '.join(AXIS_NAMES)}."
            )
        letters.add(AXIS_NAMES[name])
    return frozenset(letters)


def apply_preset(
    preset: str,
    *,
    batch: int | None,
    dynamic: str | None,
    graph_form: str,
    **others: object,
) -> ExportOptions:
    """Options with the preset's answers where nothing was said.

    Raises:
        UnknownNameError: no such preset.
    """
    if preset not in PRESETS:
        raise UnknownNameError(
            f"unknown preset {preset!r}{nearest(preset, PRESETS)} Known: {', '.join(PRESETS)}."
        )
    chosen = PRESETS[preset]
    if not chosen.optimise and graph_form == "auto":
        graph_form = "reference"
    return ExportOptions(
        batch=batch if batch is not None else chosen.batch,
        dynamic=parse_dynamic(dynamic if dynamic is not None else ",".join(chosen.dynamic)),
        graph_form=graph_form,
        **others,  # type: ignore[arg-type]
    )
