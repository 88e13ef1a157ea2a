"""From a bundle to a bundle with built files: what all targets share.

The new bundle has the graph, golden cases and labels of the old one, what was built of it before, and what
is built now.  It is written beside its place and renamed, so that a tool that fails or is stopped
leaves nothing behind.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.builders.base import Builder, BuildPlan, Built, Progress
from stgcn_deploy.builders.registry import BUILDERS
from stgcn_deploy.bundle import Bundle, write_bundle
from stgcn_deploy.errors import BuildError, OutputExistsError, UnknownNameError, UsageError
from stgcn_deploy.files import fresh_directory
from stgcn_deploy.manifest import MANIFEST, BuildRecord
from stgcn_deploy.measure.environment import versions
from stgcn_deploy.registry import nearest

__all__ = ["BuildResult", "build_into", "options_of", "plan_build"]


@dataclass(frozen=True)
class BuildResult:
    """What was built, or what would be.

    Attributes:
        bundle: the new bundle; None for a dry run.
        builds: records of the files that this run made, as they are in its manifest.
    """

    target: str
    base: Path
    plan: BuildPlan
    bundle: Bundle | None
    builds: tuple[BuildRecord, ...]

    @property
    def fell_back(self) -> bool:
        """Whether another precision than the one asked for was taken."""
        return any(one.actual != one.requested for one in self.builds)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "target": self.target,
            "base": str(self.base),
            "bundle": str(self.bundle.path) if self.bundle else None,
            "plan": asdict(self.plan),
            "builds": [one.model_dump(mode="json") for one in self.builds],
            "fell_back": self.fell_back,
        }


def options_of(target: str, given: Mapping[str, Any]) -> Any:
    """The options of a target as its builder takes them.

    Raises:
        UnknownNameError: no such target, or an option that is not one of it.
        UsageError: a bad value.
    """
    builder = BUILDERS[target]
    known = _names(builder)
    for name in given:
        if name in known:
            continue
        owners = [key for key in BUILDERS if name in _names(BUILDERS[key])]
        if owners:
            raise UsageError(
                f"{name!r} is an option of {' and '.join(owners)}, not of {builder.name}. Options of "
                f"{builder.name}: {', '.join(known)}."
            )
        raise UnknownNameError(
            f"{builder.name} has no option {name!r}{nearest(name, known)} Options: {', '.join(known)}."
        )
    return builder.options(**given)


def _names(builder: Builder) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(builder.options))


def plan_build(base: Bundle, target: str, options: Any) -> BuildResult:
    """What a build would do; needs nothing of the vendor's.

    Raises:
        UsageError: bundle or options do not fit the target.
    """
    builder = BUILDERS[target]
    plan = builder.plan(base, options)
    return BuildResult(builder.name, base.path, plan, None, ())


def build_into(
    base: Bundle,
    output: Path,
    target: str,
    options: Any,
    *,
    command: str,
    force: bool = False,
    progress: Progress,
) -> BuildResult:
    """Write `output`: `base` and what the target's tool makes of it.

    Args:
        output: may be the base's own directory, with `force`: then the files are added to it.
        command: how this was asked for, for the manifest.
        force: replace `output`, and files that were built under the same names before.

    Raises:
        OutputExistsError: `output` is there, or the base has such a file, and `force` is not given.
        StgcnError: as the builder says.
    """
    planned = plan_build(base, target, options)
    builder = BUILDERS[target]
    with (
        fresh_directory(output, mark=MANIFEST, force=force) as folder,
        tempfile.TemporaryDirectory(prefix="stgcn-build-") as place,
    ):
        _refuse_known(base, planned.plan.files, force=force)
        built = builder.build(base, options, Path(place), progress)
        if not built:
            raise BuildError(f"{builder.name} built no file; nothing is written.")
        records = _records(base, built, force=force)
        _fill(base, folder, built)
        fields = {
            **base.manifest.model_dump(exclude={"files"}),
            "name": output.name,
            "builds": tuple(record.model_dump() for record in records),
            "versions": {**base.manifest.versions, **versions()},
            "command": command,
        }
        write_bundle(folder, fields)
        Bundle(folder)  # what cannot be read again is not put in anybody's place
    made = tuple(one.record for one in built)
    return dataclasses.replace(planned, bundle=Bundle(output), builds=made)


def _refuse_known(base: Bundle, files: tuple[str, ...], *, force: bool) -> None:
    taken = [name for name in files if name in base.manifest.files]
    if taken and not force:
        raise OutputExistsError(
            f"{base.path} has {', '.join(taken)} already; replace with --force, or start from the bundle "
            "without."
        )


def _records(base: Bundle, built: tuple[Built, ...], *, force: bool) -> tuple[BuildRecord, ...]:
    """What was built before, without what is replaced, and what is built now."""
    names = [one.record.file for one in built]
    odd = [one.record.file for one in built if one.record.file != one.path.name]
    own = {*base.manifest.files, MANIFEST} - {one.file for one in base.manifest.builds}
    if odd or len(set(names)) < len(names) or own & set(names):
        raise BuildError(f"the tool's files do not fit into a bundle: {', '.join(names)}.")
    _refuse_known(base, tuple(names), force=force)
    kept = tuple(one for one in base.manifest.builds if one.file not in names)
    return (*kept, *(one.record for one in built))


def _fill(base: Bundle, folder: Path, built: tuple[Built, ...]) -> None:
    """Copy the base's files but those that are replaced, and put what was built beside them."""
    for name in set(base.manifest.files) - {one.record.file for one in built}:
        shutil.copy2(base.path / name, folder / name)
    for one in built:
        shutil.move(one.path, folder / one.record.file)
