"""build: files for a device, by its vendor's tool, beside the graph that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.api.common import command_line
from stgcn_deploy.errors import UsageError

if TYPE_CHECKING:
    from stgcn_deploy.builders.target import BuildResult

__all__ = ["build"]

BuildProgress = Callable[[str, float | None], None]


def _silent(_text: str, _share: float | None) -> None:
    """No progress."""


def build(
    bundle: str | Path,
    output: str | Path | None = None,
    *,
    to: str,
    precision: str | None = None,
    dry_run: bool = False,
    allow_fallback: bool = False,
    force: bool = False,
    progress: BuildProgress = _silent,
    **options: Any,
) -> BuildResult:
    """Make a bundle that also holds files for a device.

    Args:
        output: the new bundle's directory; must not exist unless `force`. With `force` it may be
            `bundle` itself, to which the files are then added. None only for a dry run.
        to: ascend (OM files).
        precision: of the built files; None for the target's usual one: fp16 for ascend.
        dry_run: only say what would be done; needs nothing of the vendor's.
        allow_fallback: take the next precision where the device cannot do the one asked for; the
            result and the manifest name both.
        force: replace an existing bundle, and built files of the same names in it.
        progress: called with what is going on and the share done, None where that is not known.
        options: those of the target alone; for ascend: soc_version, batch, timeout, see docs/ascend.md.

    Raises:
        UsageError: the bundle or an option does not fit the target; the nearest name is told.
        BuildError: the tool failed, or built another precision than was asked for.
        MissingDependencyError: the tool is not here.
        StgcnError: the bundle cannot be read, or `output` is there.
    """
    from stgcn_deploy.builders.target import build_into, options_of, plan_build
    from stgcn_deploy.bundle import Bundle

    given = {**options, "allow_fallback": allow_fallback}
    if precision is not None:
        given["precision"] = precision
    chosen = options_of(to, given)
    base = Bundle(bundle)
    if dry_run:
        return plan_build(base, to, chosen)
    if output is None:
        raise UsageError(
            "a build goes into a new bundle; name its directory with --output (-o) DIR."
        )
    return build_into(
        base,
        Path(output),
        to,
        chosen,
        command=command_line(),
        force=force,
        progress=progress,
    )
