"""The seam to builders: a vendor's tool turns a bundle's graph into files for a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.manifest import BuildRecord

__all__ = ["BuildPlan", "Builder", "Built", "Progress"]

# (what is going on, share done from 0 to 1 or None where that is not known)
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class BuildPlan:
    """What a build would do, for --dry-run.

    Attributes:
        files: names of what it would write, with the precision asked for.
        commands: argv of each tool it would run; empty where it calls a library.
        steps: what it would do, in words, one line each.
        notes: what the reader should know: what was chosen for them, what this version cannot do.
        missing: why it cannot be done on this machine; None where it can.
    """

    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    missing: str | None


@dataclass(frozen=True)
class Built:
    """One file that was made, still in the scratch folder, and what the manifest will say of it."""

    path: Path
    record: BuildRecord


class Builder(Protocol):
    """One vendor's tool.

    Attributes:
        name: the table's name of it, which is that of the backend that runs its files.
        install: the line, or lines, that install it, by platform where they differ.
        options: frozen dataclass of what it takes besides the bundle; each field with a default is one
            option of `stgcn build`, and the class refuses bad values with UsageError.
    """

    name: str
    install: str
    options: type[Any]

    def available(self) -> str | None:
        """None when usable here, else why not, with what to do."""

    def plan(self, bundle: Bundle, options: Any) -> BuildPlan:
        """What `build` would do; needs nothing of the vendor's.

        Raises:
            UsageError: the bundle or the options do not fit the tool: form, opset, shapes, precision.
        """

    def build(
        self, bundle: Bundle, options: Any, scratch: Path, progress: Progress
    ) -> tuple[Built, ...]:
        """Make the files in `scratch`; the caller puts them into a bundle.

        Raises:
            MissingDependencyError: the tool is not here (exit code 3).
            BuildError: it failed, or another precision came out than was asked for and no fallback was
                allowed; the message names the layer or option, and what to try.
        """
