"""Verification of a bundle: is this graph the network it says it is?

Compared are logits, not probabilities: a saturated softmax would hide any error.  A file that was built
of the graph shows its outputs alone; see measure/visible.py for what is compared then.  The bundle's own
golden cases need no torch; a checkpoint's reference form, where given, adds fresh random inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Backend, Session
from stgcn_deploy.backends.built import ModelFile, model_file, model_files
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import CheckFailedError, requires
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.inputs import Probe, probes, random_probes, smaller_probes
from stgcn_deploy.measure.parity import CaseError, ParityReport, scale_of, summarise
from stgcn_deploy.measure.runner import Runner
from stgcn_deploy.measure.tolerances import Tolerance, tolerance_for
from stgcn_deploy.measure.visible import LOGITS, OUTPUT, shares_of
from stgcn_deploy.skeleton.axes import CANONICAL
from stgcn_deploy.skeleton.inputs import OPEN_AXES

__all__ = ["Check", "VerifyReport", "compare_golden", "verify_bundle"]

# Probabilities of one clip must add up to one; float32 sums of up to 400 terms stay within this.
SUM_TOLERANCE = 1e-5
# And those of half precision, each of which is rounded by up to 5e-4 of itself, within this.
HALF_SUM_TOLERANCE = 2e-3
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
    runtime = BACKENDS[backend]
    graph = (_structure(bundle), _opset(bundle))
    fresh = _Fresh(reference, seeds, extra)
    found = []
    for file in model_files(bundle, runtime):
        row = tolerance or tolerance_for(runtime.name, file.precision)
        told = progress if file.build is None else _prefixed(progress, file.path.name)
        found.append(_verify_file(bundle, runtime, file, row, fresh, graph, told))
    return found[0] if len(found) == 1 else _joined(found, graph)


@dataclass(frozen=True)
class _Fresh:
    """What a file is run on besides the golden cases."""

    reference: Reference | None
    seeds: int
    extra: tuple[Probe, ...]


def _prefixed(progress: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda text: progress(f"{name}: {text}")


def _verify_file(
    bundle: Bundle,
    runtime: Backend,
    file: ModelFile,
    row: Tolerance,
    inputs: _Fresh,
    graph: tuple[Check, ...],
    progress: Callable[[str], None],
) -> VerifyReport:
    """All checks of the graph, or of one file that was built of it."""
    manifest, reference = bundle.manifest, inputs.reference
    name = str(bundle.path) if file.build is None else str(file.path)
    with file.open(runtime, tap=LOGITS) as session:
        checks = [*graph, *_signature(manifest, file, session)]
        if not all(check.passed for check in checks):
            # A graph with other inputs, outputs or operators cannot be fed and compared.
            return VerifyReport(name, runtime.name, tuple(checks), summarise((), row))
        run = Runner(manifest, session, file)
        progress("golden cases")
        golden = compare_golden(bundle, run, row)
        checks.append(_verdict("parity with the recorded reference", golden, run))
        fresh = [*_fresh(bundle, file, inputs.seeds), *inputs.extra]
        report = None
        if reference is not None:
            progress("fresh inputs through the reference form")
            report = summarise(_against(run, reference, fresh), row)
            checks.append(_verdict("parity with the checkpoint's reference form", report, run))
        progress("outputs")
        checks.append(_outputs(run, fresh))
        progress("dependence on every part of the input")
        inert, check = _dependence(run, reference, *_moved_clip(bundle, run))
        checks.append(check)
    return VerifyReport(name, runtime.name, tuple(checks), golden, report, inert)


def _joined(reports: list[VerifyReport], graph: tuple[Check, ...]) -> VerifyReport:
    """One report of all files that were built of a graph; its cases are those of the worst."""

    def badness(one: VerifyReport) -> tuple[bool, float]:
        return not one.passed, one.golden.max_error / (one.golden.tolerance or 1.0)

    worst = max(reports, key=badness)
    checks = list(graph)
    for one in reports:
        name = Path(one.bundle).name
        checks += [
            replace(check, name=f"{name}: {check.name}") for check in one.checks[len(graph) :]
        ]
    inert = tuple(dict.fromkeys(part for one in reports for part in one.inert))
    bundle = str(Path(worst.bundle).parent)
    return replace(worst, bundle=bundle, checks=tuple(checks), inert=inert)


def compare_golden(bundle: Bundle, run: Runner, row: Tolerance) -> ParityReport:
    """The logits of the recorded cases, against what the reference form gave."""
    return summarise(_golden_cases(bundle, run), row)


def _golden_cases(bundle: Bundle, run: Runner) -> Iterator[CaseError]:
    """Each case; and what built files need besides."""
    cases = bundle.golden()
    for case in cases:
        yield run.compare(case.name, case.batch, case.logits)
    # The first case once more for every other batch size that the file was built for.
    for size in run.sizes[1:]:
        for case in cases[:1]:
            rows = np.resize(np.arange(len(case.batch)), size)
            yield run.compare(f"{case.name}, batch {size}", case.batch[rows], case.logits[rows])
    if not run.visible.whole:
        yield from _beside_the_graph(bundle, run)


def _beside_the_graph(bundle: Bundle, run: Runner) -> Iterator[CaseError]:
    """Clips on which even a trained network is not sure, against the bundle's own graph.

    Recorded cases of a network that is sure of itself tell little where only probabilities can be seen.
    """
    manifest = bundle.manifest
    if _calibrated(manifest, run.precision) or manifest.precision.compute == "bf16":
        return
    graph = BACKENDS["onnxruntime"]
    with model_file(bundle, graph).open(graph, tap=LOGITS) as session:
        reference = Runner(manifest, session)
        for probe in smaller_probes(manifest, seed=3):
            yield run.compare(f"graph {probe.name}", probe.batch, reference.logits(probe.batch))


def _calibrated(manifest: Manifest, precision: str) -> bool:
    """Whether ranges are those of real clips: on noise and extremes it is wrong by design then."""
    return manifest.precision.calibration is not None or "int8" in precision


def _fresh(bundle: Bundle, file: ModelFile, seeds: int) -> Iterator[Probe]:
    """Inputs besides the golden cases; of what was calibrated those cases."""
    manifest = bundle.manifest
    if _calibrated(manifest, file.precision):
        yield from (Probe(case.name, case.batch) for case in bundle.golden())
        return
    yield from probes(manifest, seed=1)
    yield from random_probes(manifest, range(100, 100 + seeds))


def _moved_clip(bundle: Bundle, run: Runner) -> tuple[Array, tuple[float, ...]]:
    """A batch (N, M, T, V, C) whose parts are moved; how far, and how far where that shows nothing."""
    manifest = bundle.manifest
    if manifest.precision.calibration is not None:
        # Half the spread of real values: steps of 8 bits are smaller, and its ranges hold most of it.
        for case in bundle.golden()[:1]:
            return case.batch, (float(np.ptp(case.batch)) / 2,)
    if run.visible.whole:
        return next(one for one in probes(manifest, seed=2) if one.name == "random").batch, (1.0,)
    # Of probabilities that are all but 0 and 1 nothing can be seen to follow.  And those of half
    # precision are steps of 5e-4: what one frame of many does is less.
    cases = [one.batch for one in smaller_probes(manifest, seed=2)]
    told = [int(run.visible.told(run.logits(batch)).min()) for batch in cases]
    return cases[int(np.argmax(told))], (1.0, 8.0)


def _against(run: Runner, reference: Reference, cases: list[Probe]) -> Iterator[CaseError]:
    for case in cases:
        yield run.compare(f"fresh {case.name}", case.batch, reference(case.batch))


def _verdict(name: str, report: ParityReport, run: Runner) -> Check:
    worst, visible = report.worst, run.visible
    if worst is None:
        return Check(name, False, "no case was compared")
    if not report.told:
        return Check(
            name,
            False,
            f"nothing can be told: only probabilities can be seen here, and those of all "
            f"{len(report.cases)} cases are all but 0 and 1, which any logits of that size would give. "
            "Export the bundle with --logits and build it again",
        )
    kind = ""
    if not visible.whole:
        what = "log-odds" if visible.kind == "sigmoid" else "log-probabilities"
        kind = f"; compared are {what} above {visible.floor:.0e}, which tell {report.told} of the cases"
    return Check(
        name,
        report.passed,
        f"{len(report.cases)} cases, max error {report.max_error:.1e} ({worst.name}), tolerance "
        f"{report.tolerance:.0e}, same top-1 {report.top1_agreement:.0%}{kind}",
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


def _signature(manifest: Manifest, file: ModelFile, session: Session) -> Iterator[Check]:
    shapes = _expected_shapes(manifest, file)
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


def _expected_shapes(manifest: Manifest, file: ModelFile) -> dict[str, tuple[int | str, ...]]:
    """The graph's shapes; of a built file those that it was built for, where they fit the graph's."""
    shapes = manifest.input_shapes
    if file.build is None:
        return shapes
    found: dict[str, tuple[int | str, ...]] = {}
    for spec in manifest.input_specs:
        graph, built = shapes[spec.name], file.build.shapes.get(spec.name, ())
        sizes = (
            list(zip(*built, strict=True)) if {len(one) for one in built} == {len(graph)} else []
        )
        # Only the number of clips may be another one than the graph's.
        fits = sizes and all(
            letter == "N" or isinstance(have, str) or set(size) == {have}
            for letter, have, size in zip(spec.axes, graph, sizes, strict=True)
        )
        found[spec.name] = (
            graph
            if not fits
            else tuple(
                size[0] if len(set(size)) == 1 else OPEN_AXES[letter]
                for letter, size in zip(spec.axes, sizes, strict=True)
            )
        )
    return found


def _outputs(run: Runner, cases: list[Probe]) -> Check:
    """Finite; of the right shape; and, for probabilities, the activation of the logits once."""
    manifest, worst = run.manifest, 0.0
    limit = SUM_TOLERANCE
    for case in cases:
        out = run.run(case.batch)
        expected = (len(case.batch), manifest.num_classes)
        if out[OUTPUT].shape != expected:
            shape = out[OUTPUT].shape
            return Check("outputs", False, f"shape {shape} for {case.name}, expected {expected}")
        if not np.isfinite(out[OUTPUT]).all():
            return Check("outputs", False, f"NaN or infinite for {case.name}")
        if manifest.output == "probabilities" and manifest.activation == "softmax":
            worst = max(worst, float(np.abs(out[OUTPUT].sum(axis=1) - 1).max()))
        if not run.visible.whole:
            # Without logits: no probability is below 0 or above 1.  That it is the activation's result,
            # once, is for the comparison with the reference to find out.
            limit = SUM_TOLERANCE if run.precision == "fp32" else HALF_SUM_TOLERANCE
            worst = max(worst, float(-out[OUTPUT].min()), float(out[OUTPUT].max()) - 1)
            continue
        wanted = run.visible.of(out).astype(np.float64)
        if manifest.output == "probabilities":
            wanted = shares_of(wanted, manifest.activation)
        worst = max(worst, float(np.abs(out[OUTPUT] - wanted).max()) / scale_of(wanted))
    kind = "the logits"
    if manifest.output == "probabilities":
        total = ", adding up to 1" if manifest.activation == "softmax" else ""
        kind = f"the {manifest.activation} of the logits{total}"
        if not run.visible.whole:
            kind = f"probabilities{total}"
    found = f"{len(cases)} inputs: {kind} within {worst:.0e} (limit {limit:.0e})"
    return Check("outputs", bool(cases) and worst <= limit, found)


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
    run: Runner, reference: Reference | None, base: Array, steps: tuple[float, ...]
) -> tuple[tuple[str, ...], Check]:
    """Change each part of a clip; the logits must follow, unless the reference's do not either.

    Args:
        steps: how far a part is moved; the later ones where the earlier changed nothing.
    """
    name = "output depends on every part of the input"
    manifest = run.manifest
    start = run.logits(base)
    scale = scale_of(start)
    inert: list[str] = []
    unexplained: list[str] = []
    known = set(manifest.parity.inert) if manifest.parity else set()
    parts = list(_parts(manifest))
    for part, axis, index in parts:
        where = tuple(index if letter == axis else slice(None) for letter in CANONICAL)
        moves = [_moved(base, where, step) for step in steps]
        if any(np.abs(run.logits(moved) - start).max() > INERT * scale for moved in moves):
            continue
        inert.append(part)
        agreed = part in known
        if reference is not None:
            unmoved = reference(base)
            agreed = all(np.abs(reference(one) - unmoved).max() <= INERT * scale for one in moves)
        if not agreed:
            unexplained.append(part)
    if unexplained:
        return tuple(inert), Check(name, False, f"no effect: {', '.join(unexplained[:6])}")
    note = f"; inert in the reference too: {', '.join(inert)}" if inert else ""
    return tuple(inert), Check(name, bool(parts), f"{len(parts)} parts{note}")


def _moved(base: Array, where: tuple[int | slice, ...], step: float) -> Array:
    moved: Array = base.copy()
    moved[where] += step
    return moved


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
