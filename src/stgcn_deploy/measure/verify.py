"""Verification of a bundle: is this graph the network it says it is?

Compared are logits, not probabilities: a saturated softmax would hide any error.  The bundle's own
golden cases need no torch; a checkpoint's reference form, where given, adds fresh random inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, Session
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, Manifest
from stgcn_deploy.errors import CheckFailedError, requires
from stgcn_deploy.measure.inputs import Probe, probes, random_probes
from stgcn_deploy.measure.parity import CaseError, ParityReport, compare, summarise
from stgcn_deploy.measure.tolerances import Tolerance, tolerance_for
from stgcn_deploy.skeleton.axes import CANONICAL

__all__ = ["LOGITS", "Check", "Runner", "VerifyReport", "compare_golden", "verify_bundle"]

LOGITS = "logits"
OUTPUT = "output"
# Probabilities of one clip must add up to one; float32 sums of up to 400 terms stay within this.
SUM_TOLERANCE = 1e-5
# A part of the input that moves the logits by less than this share of their scale is inert.
INERT = 1e-7

Array = NDArray[Any]
Reference = Callable[[Array], Array]


@dataclass(frozen=True)
class Check:
    """One question and its answer."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """All checks of one bundle on one backend."""

    bundle: str
    backend: str
    checks: tuple[Check, ...]
    golden: ParityReport
    reference: ParityReport | None = None
    inert: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "bundle": self.bundle,
            "backend": self.backend,
            "passed": self.passed,
            "checks": [check.__dict__ for check in self.checks],
            "golden": self.golden.as_dict(),
            "reference": self.reference.as_dict() if self.reference else None,
            "inert": list(self.inert),
        }


class Runner:
    """A session fed with batches (N, M, T, V, C)."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self.manifest = manifest
        self.session = session

    def run(self, batch: Array) -> dict[str, Array]:
        """All outputs, the tapped logits among them."""
        return self.session.run(self.manifest.feed(batch))

    def logits(self, batch: Array) -> Array:
        """Logits (N, classes)."""
        return self.run(batch)[LOGITS]


def verify_bundle(
    bundle: Bundle,
    *,
    backend: str = "onnxruntime",
    reference: Reference | None = None,
    seeds: int = 8,
    extra: tuple[Probe, ...] = (),
    tolerance: Tolerance | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> VerifyReport:
    """Check a bundle; nothing is raised for a bad one, the report says so.

    Args:
        reference: batch (N, M, T, V, C) -> float64 logits of the reference form, for fresh inputs.
        seeds: how many random batches to draw besides the golden cases.
        extra: batches of the user's own data; compared only where a reference is given.
        tolerance: instead of the table's row.
    """
    manifest = bundle.manifest
    runtime = BACKENDS[backend]
    row = tolerance or tolerance_for(runtime.name, manifest.precision.actual)
    checks = [_structure(bundle), _opset(bundle)]
    options = OpenOptions(tap=LOGITS, compute=manifest.precision.compute)
    with runtime.open(bundle.model_path, options) as session:
        checks += list(_signature(manifest, session))
        if not all(check.passed for check in checks):
            # A graph with other inputs, outputs or operators cannot be fed and compared.
            return VerifyReport(str(bundle.path), backend, tuple(checks), summarise((), row))
        run = Runner(manifest, session)
        progress("golden cases")
        golden = compare_golden(bundle, run, row)
        checks.append(_verdict("parity with the recorded reference", golden))
        fresh = [*_fresh(bundle, seeds), *extra]
        report = None
        if reference is not None:
            progress("fresh inputs through the reference form")
            report = summarise(_against(run, reference, fresh), row)
            checks.append(_verdict("parity with the checkpoint's reference form", report))
        progress("outputs")
        checks.append(_outputs(run, fresh))
        progress("dependence on every part of the input")
        inert, check = _dependence(run, reference, *_moved_clip(bundle))
        checks.append(check)
    return VerifyReport(str(bundle.path), backend, tuple(checks), golden, report, inert)


def compare_golden(bundle: Bundle, run: Runner, row: Tolerance) -> ParityReport:
    """The logits of the recorded cases, against what the reference form gave."""
    return summarise(
        (compare(case.name, case.logits, run.logits(case.batch)) for case in bundle.golden()), row
    )


def _fresh(bundle: Bundle, seeds: int) -> Iterator[Probe]:
    """Inputs besides the golden cases; of a calibrated graph those cases.

    Its ranges are those of real clips: on noise and extremes it is wrong by design.
    """
    manifest = bundle.manifest
    if manifest.precision.calibration is not None:
        yield from (Probe(case.name, case.batch) for case in bundle.golden())
        return
    yield from probes(manifest, seed=1)
    yield from random_probes(manifest, range(100, 100 + seeds))


def _moved_clip(bundle: Bundle) -> tuple[Array, float]:
    """A batch (N, M, T, V, C) whose parts are moved, and how far."""
    manifest = bundle.manifest
    if manifest.precision.calibration is not None:
        # Half the spread of real values: steps of 8 bits are smaller, and its ranges hold most of it.
        for case in bundle.golden()[:1]:
            return case.batch, float(np.ptp(case.batch)) / 2
    return next(one for one in probes(manifest, seed=2) if one.name == "random").batch, 1.0


def _against(run: Runner, reference: Reference, cases: list[Probe]) -> Iterator[CaseError]:
    for case in cases:
        yield compare(f"fresh {case.name}", reference(case.batch), run.logits(case.batch))


def _verdict(name: str, report: ParityReport) -> Check:
    worst = report.worst
    if worst is None:
        return Check(name, False, "no case was compared")
    return Check(
        name,
        report.passed,
        f"{len(report.cases)} cases, max error {report.max_error:.1e} ({worst.name}), tolerance "
        f"{report.tolerance:.0e}, same top-1 {report.top1_agreement:.0%}",
    )


def _structure(bundle: Bundle) -> Check:
    with requires("checking a graph", "pip install onnx"):
        import onnx
    try:
        onnx.checker.check_model(str(bundle.model_path), full_check=True)
    except Exception as error:
        return Check("ONNX checker (full)", False, str(error).splitlines()[0])
    return Check("ONNX checker (full)", True, "valid, shapes inferred")


def _opset(bundle: Bundle) -> Check:
    import onnx

    try:
        model = onnx.load(str(bundle.model_path), load_external_data=False)
    except Exception as error:
        return Check("opset in the file", False, f"the file cannot be read: {error}")
    written = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    asked = bundle.manifest.opset
    passed = written == {"ai.onnx": asked}
    return Check("opset in the file", passed, f"{written}, manifest says {asked}")


def _signature(manifest: Manifest, session: Session) -> Iterator[Check]:
    shapes = manifest.input_shapes
    inputs = [spec.name for spec in session.inputs]
    outputs = [spec.name for spec in session.outputs if spec.name != LOGITS]
    right = inputs == list(shapes) and outputs == [OUTPUT]
    yield Check("names", right, f"inputs {inputs}, outputs {outputs}")
    for spec in session.inputs:
        wanted = shapes.get(spec.name, ())
        same = len(spec.shape) == len(wanted) and all(
            isinstance(have, str) == isinstance(want, str)
            and (isinstance(want, str) or have == want)
            for have, want in zip(spec.shape, wanted, strict=True)
        )
        found, expected = (", ".join(map(str, shape)) for shape in (spec.shape, wanted))
        yield Check(f"shape of {spec.name}", same, f"({found}), manifest ({expected})")


def _probabilities(logits: Array, activation: str) -> Array:
    """What the graph's last step makes of logits (N, classes), in float64."""
    wide = logits.astype(np.float64)
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _outputs(run: Runner, cases: list[Probe]) -> Check:
    """Finite; of the right shape; and, for probabilities, the activation of the logits once."""
    manifest, worst = run.manifest, 0.0
    for case in cases:
        out = run.run(case.batch)
        expected = (len(case.batch), manifest.num_classes)
        if out[OUTPUT].shape != expected:
            shape = out[OUTPUT].shape
            return Check("outputs", False, f"shape {shape} for {case.name}, expected {expected}")
        if not np.isfinite(out[OUTPUT]).all():
            return Check("outputs", False, f"NaN or infinite for {case.name}")
        wanted = out[LOGITS].astype(np.float64)
        if manifest.output == "probabilities":
            wanted = _probabilities(wanted, manifest.activation)
            if manifest.activation == "softmax":
                worst = max(worst, float(np.abs(out[OUTPUT].sum(axis=1) - 1).max()))
        scale = max(1.0, float(np.abs(wanted).max()))
        worst = max(worst, float(np.abs(out[OUTPUT] - wanted).max()) / scale)
    kind = "the logits"
    if manifest.output == "probabilities":
        total = ", adding up to 1" if manifest.activation == "softmax" else ""
        kind = f"the {manifest.activation} of the logits{total}"
    found = f"{len(cases)} inputs: {kind} within {worst:.0e} (limit {SUM_TOLERANCE:.0e})"
    return Check("outputs", bool(cases) and worst <= SUM_TOLERANCE, found)


def _parts(manifest: Manifest) -> Iterator[tuple[str, str, int]]:
    """(name, axis, index) of every joint, channel and person, and five frames."""
    clip = manifest.clip
    for index, joint in enumerate(manifest.layout.joints):
        yield f"joint {index} ({joint})", "V", index
    for index in range(clip.channels):
        yield f"channel {index}", "C", index
    for index in range(clip.persons if clip.persons > 1 else 0):
        yield f"person {index}", "M", index
    for index in sorted(
        {0, clip.frames // 4, clip.frames // 2, 3 * clip.frames // 4, clip.frames - 1}
    ):
        yield f"frame {index}", "T", index


def _dependence(
    run: Runner, reference: Reference | None, base: Array, step: float
) -> tuple[tuple[str, ...], Check]:
    """Change each part of a clip; the logits must follow, unless the reference's do not either."""
    name = "output depends on every part of the input"
    manifest = run.manifest
    start = run.logits(base)
    scale = max(1.0, float(np.abs(start).max()))
    inert: list[str] = []
    unexplained: list[str] = []
    known = set(manifest.parity.inert) if manifest.parity else set()
    parts = list(_parts(manifest))
    for part, axis, index in parts:
        moved = base.copy()
        where = tuple(index if letter == axis else slice(None) for letter in CANONICAL)
        moved[where] += step
        if np.abs(run.logits(moved) - start).max() > INERT * scale:
            continue
        inert.append(part)
        agreed = part in known
        if reference is not None:
            agreed = bool(np.abs(reference(moved) - reference(base)).max() <= INERT * scale)
        if not agreed:
            unexplained.append(part)
    if unexplained:
        return tuple(inert), Check(name, False, f"no effect: {', '.join(unexplained[:6])}")
    note = f"; inert in the reference too: {', '.join(inert)}" if inert else ""
    return tuple(inert), Check(name, bool(parts), f"{len(parts)} parts{note}")


def failure_text(report: VerifyReport) -> str:
    """The failed checks, for an error."""
    failed = "; ".join(f"{c.name}: {c.detail}" for c in report.checks if not c.passed)
    return f"{report.bundle} failed verification on {report.backend}: {failed}"


def refuse_failed(report: VerifyReport) -> None:
    """Raise when the report's verdict is no.

    Raises:
        CheckFailedError: it is.
    """
    if not report.passed:
        raise CheckFailedError(failure_text(report))
