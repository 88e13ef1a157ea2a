"""Which axes of the input are fixed when a graph is written."""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.errors import UsageError

__all__ = ["DYNAMIC_AXES", "InputShape"]

DYNAMIC_AXES = {"N": "batch", "T": "frames", "M": "persons"}


@dataclass(frozen=True)
class InputShape:
    """Sizes of the input and the axes that stay open in the file.

    Attributes:
        batch, persons, frames: N, M, T; for an open axis, the size used while tracing.
        dynamic: letters of the open axes, out of "NTM".
    """

    batch: int
    persons: int
    frames: int
    dynamic: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = self.dynamic - set(DYNAMIC_AXES)
        if unknown:
            raise UsageError(f"axes {sorted(unknown)} cannot be dynamic; only N, T and M can.")

    def static(self, axis: str) -> bool:
        """Whether the axis has one size in the file."""
        return axis not in self.dynamic
