"""Bundles of lower precision beside the one that they are made from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, Golden, sha256_of, write_bundle, write_golden
from stgcn_deploy.errors import MissingDependencyError
from stgcn_deploy.manifest import MANIFEST, MODEL, Manifest, PrecisionRecord
from stgcn_deploy.measure.environment import versions
from stgcn_deploy.measure.runner import Runner
from stgcn_deploy.measure.verify import VerifyReport
from stgcn_deploy.measure.visible import LOGITS
from stgcn_deploy.precision.calibration import Calibration

__all__ = ["Maker", "golden_of", "parity_fields", "runner_of"]

GOLDEN_CLIPS = 8


@dataclass(frozen=True)
class Maker:
    """Writes bundles that differ from `base` in the graph and in what the manifest says of it.

    Attributes:
        golden: recorded cases; None keeps those of the base.
        command: how the bundle is made, for the manifest.
    """

    base: Bundle
    precision: PrecisionRecord
    golden: tuple[Golden, ...] | None = None
    command: str = ""

    def write(
        self,
        folder: Path,
        fill: Callable[[Path], object] | None,
        *,
        name: str = "",
        float_layers: Iterable[str] = (),
        **changes: Any,
    ) -> Bundle:
        """A bundle in the empty `folder`.

        Args:
            fill: writes the graph; None takes that of the base, with its data file.
            float_layers: see PrecisionRecord.
            changes: further fields of the manifest, or of its precision.
        """
        manifest = self.base.manifest
        for file in manifest.files:
            if fill is None or not file.startswith(MODEL):
                shutil.copy2(self.base.path / file, folder / file)
        if fill is not None:
            fill(folder / MODEL)
        if self.golden is not None:
            write_golden(folder, self.golden)
        write_bundle(folder, self.fields(name=name, float_layers=float_layers, **changes))
        return Bundle(folder)

    def fields(
        self,
        *,
        name: str = "",
        float_layers: Iterable[str] = (),
        accuracy: Mapping[str, Any] | None = None,
        parity: Mapping[str, Any] | None = None,
        graph: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """The manifest's fields without the files."""
        manifest = self.base.manifest
        precision = {
            **self.precision.model_dump(),
            "float_layers": tuple(float_layers),
            "accuracy": accuracy,
        }
        return {
            **manifest.model_dump(exclude={"files"}),
            "name": name or manifest.name,
            "precision": precision,
            "parity": parity,
            "builds": (),
            "versions": {**manifest.versions, **versions()},
            "command": self.command or manifest.command,
            **(graph or {}),
        }


def base_hash(base: Bundle) -> str:
    """What names a base in the manifests of those that were made from it."""
    return sha256_of(base.path / MANIFEST)


def runner_of(target: str) -> tuple[str, str | None]:
    """The backend that a graph for `target` is judged on here, and why where that is another one."""
    if target not in BACKENDS or not BACKENDS[target].taps:
        return "onnxruntime", f"{target} runs no graph; judged on onnxruntime instead"
    try:
        reason = BACKENDS[target].available()
    except MissingDependencyError as error:
        reason = str(error)
    if reason is None:
        return target, None
    return "onnxruntime", f"judged on onnxruntime instead of {target}: {reason}"


def golden_of(base: Bundle, calibration: Calibration) -> tuple[Golden, ...]:
    """Some calibration clips with the base's own logits.

    The base's golden cases are noise and extremes, on which a graph with the ranges of people is wrong
    by design; they could not tell a good one from a broken one.
    """
    manifest = base.manifest
    options = OpenOptions(tap=LOGITS, compute=manifest.precision.compute)
    with BACKENDS["onnxruntime"].open(base.model_path, options) as session:
        runner = Runner(manifest, session)
        size = manifest.clip.batch
        batches = calibration.batches(size, limit=size * GOLDEN_CLIPS)
        return tuple(
            Golden(f"calibration {number}", batch, runner.logits(batch).astype(np.float64))
            for number, batch in enumerate(batches)
        )


def parity_fields(report: VerifyReport, manifest: Manifest) -> dict[str, Any]:
    """A verification in numbers; what is inert in the base may be so here."""
    golden = report.golden
    known = manifest.parity.inert if manifest.parity else ()
    return {
        "backend": report.backend,
        "cases": len(golden.cases),
        "max_error": golden.max_error,
        "p99_error": golden.p99_error,
        "mean_error": golden.mean_error,
        "top1_agreement": golden.top1_agreement,
        "tolerance": golden.tolerance,
        "inert": sorted({*report.inert, *known}),
    }
