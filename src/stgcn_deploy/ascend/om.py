"""The OM files of a bundle: what was built for Ascend, and which of them a run takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BundleError, UnknownNameError, UsageError
from stgcn_deploy.manifest import BuildRecord
from stgcn_deploy.registry import nearest

__all__ = ["ITEM_BYTES", "TARGET", "OmFile", "choose_om", "om_files"]

TARGET = "ascend"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Samples are float32; see data.bins.
ITEM_BYTES = 4


@dataclass(frozen=True)
class OmFile:
    """One OM file.

    Attributes:
        path: in its bundle; sha256: of its bytes, as the manifest has it.
        batch: clips in one call; an OM takes exactly so many.
        shapes: by input, with the batch.
        device: the SoC it was built for ("Ascend310P3"); precision: what was built.
    """

    path: Path
    sha256: str
    batch: int
    shapes: dict[str, tuple[int, ...]]
    device: str
    precision: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def sample_bytes(self, input_name: str) -> int:
        """Size of one float32 sample of an input, the batch axis being 1."""
        return ITEM_BYTES * prod(self.shapes[input_name]) // self.batch


def om_files(bundle: Bundle) -> tuple[OmFile, ...]:
    """Every OM file with fixed shapes, smallest batch first.

    Raises:
        BundleError: its record contradicts the bundle.
    """
    found = [
        _om_file(bundle, record)
        for record in bundle.manifest.builds
        if record.target == TARGET and all(len(shapes) == 1 for shapes in record.shapes.values())
    ]
    return tuple(sorted(found, key=lambda om: (om.batch, om.name)))


def _om_file(bundle: Bundle, record: BuildRecord) -> OmFile:
    names = [spec.name for spec in bundle.manifest.input_specs]
    for name in (record.file, *names):
        # They become words of a shell script.
        if not PLAIN.fullmatch(name):
            raise BundleError(
                f"{bundle.path}: {name!r} is no name that Ascend's tools take (letters, digits, _ . -); "
                "export and build again."
            )
    shapes = {name: shapes[0] for name, shapes in record.shapes.items()}
    batches = {shape[0] for shape in shapes.values() if shape}
    if list(shapes) != names or len(batches) != 1:
        raise BundleError(
            f"{bundle.path}: {record.file} is recorded with shapes {shapes}, and the graph's inputs are "
            f"{', '.join(names)}; build it again."
        )
    return OmFile(
        bundle.path / record.file,
        bundle.manifest.files[record.file].sha256,
        batches.pop(),
        shapes,
        record.device,
        record.actual,
    )


def choose_om(bundle: Bundle, batch: int | None = None, file: str | None = None) -> OmFile:
    """The OM file of this name, or of this batch size; without either the smallest batch.

    Raises:
        BundleError: nothing was built for Ascend.
        UnknownNameError: no such file; UsageError: no such batch size, or several files of it.
    """
    files = om_files(bundle)
    if not files:
        gears = any(record.target == TARGET for record in bundle.manifest.builds)
        what = (
            "only OM files with several shapes (gears), which these tools take no files for"
            if gears
            else "no OM file"
        )
        raise BundleError(
            f"{bundle.path} has {what}; build one where ATC is: stgcn build {bundle.path} --to ascend "
            "--soc-version SOC -o DIR"
        )
    if file is not None:
        names = [om.path.name for om in files]
        if file not in names:
            raise UnknownNameError(
                f"{bundle.path} has no OM file {file!r}{nearest(file, names)} It has: {', '.join(names)}."
            )
        files = (files[names.index(file)],)
    sizes = sorted({om.batch for om in files})
    wanted = sizes[0] if batch is None else batch
    fitting = [om for om in files if om.batch == wanted]
    if not fitting:
        raise UsageError(
            f"{bundle.path} has OM files of batch size {', '.join(map(str, sizes))}, not {wanted}; "
            "name one of these, or build that one."
        )
    if len(fitting) > 1:
        raise UsageError(
            f"{bundle.path} has several OM files of batch size {wanted}: "
            f"{', '.join(om.path.name for om in fitting)}; say which: --om FILE."
        )
    return fitting[0]
