"""Which axes of the input are fixed when a graph is written."""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.errors import ExportError, UsageError
from stgcn_deploy.skeleton.inputs import OPEN_AXES

__all__ = ["InputShape"]


@dataclass(frozen=True)
class InputShape:
    """Sizes of the input and the axes that stay open in the file.

    Attributes:
        batch, persons, frames: N, M, T; for an open axis, the size used while tracing.
        dynamic: letters of the open axes, out of "NTM".
        skip_absent: run only occupied person slots, see models.persons.

    Raises:
        UsageError: an axis that cannot be open, from __post_init__.
        ExportError: absent persons cannot be skipped: T is open, or there is one slot.
    """

    batch: int
    persons: int
    frames: int
    dynamic: frozenset[str] = frozenset()
    skip_absent: bool = False

    def __post_init__(self) -> None:
        unknown = self.dynamic - set(OPEN_AXES)
        if unknown:
            raise UsageError(f"axes {sorted(unknown)} cannot be dynamic; only N, T and M can.")
        if self.skip_absent and not self.static("T"):
            raise ExportError(
                "absent persons can be skipped only where the number of frames is fixed: the features "
                "of an empty slot depend on it. Leave frames out of --dynamic, or leave out "
                "--skip-absent."
            )
        if self.skip_absent and self.static("M") and self.persons == 1:
            raise ExportError(
                "with one person slot there is no absent person to skip; give --persons 2 or more, or "
                "leave out --skip-absent."
            )

    def static(self, axis: str) -> bool:
        """Whether the axis has one size in the file."""
        return axis not in self.dynamic

    def sizes(self, num_joints: int, *, named: bool = False) -> dict[str, int | str]:
        """Sizes of N, M, T, V; with `named`, open axes are their names."""
        found: dict[str, int | str] = {
            "N": self.batch, "M": self.persons, "T": self.frames, "V": num_joints
        }  # fmt: skip
        if named:
            found |= {axis: OPEN_AXES[axis] for axis in self.dynamic}
        return found
