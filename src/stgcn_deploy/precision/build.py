"""The main job: a bundle of lower precision that keeps the accuracy budget, or none."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.dataset import Dataset
from stgcn_deploy.errors import CheckFailedError, MissingDependencyError, UsageError
from stgcn_deploy.files import fresh_directory
from stgcn_deploy.manifest import MANIFEST, CalibrationRecord, PrecisionRecord
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.measure.verify import refuse_failed, verify_bundle
from stgcn_deploy.precision.calibration import NO_DATA, Calibration, from_data, from_noise
from stgcn_deploy.precision.candidates import (
    Maker,
    base_hash,
    golden_of,
    parity_fields,
    runner_of,
)
from stgcn_deploy.precision.fp16 import to_half
from stgcn_deploy.precision.gate import Gate, held_out
from stgcn_deploy.precision.graphs import Graph, read_model, save_model
from stgcn_deploy.precision.int8 import Quantiser, check_opset
from stgcn_deploy.precision.recipes import Recipe, check_target, recipe_for
from stgcn_deploy.precision.result import OverBudgetError, Quantised, Request, Source
from stgcn_deploy.precision.sensitivity import BlockError, LayerError, layer_errors, rank_blocks
from stgcn_deploy.precision.tradeoff import (
    Trial,
    back_off,
    folder_of,
    judge,
    time_trials,
    trade_off_name,
    trial_of,
)
from stgcn_deploy.runtime import load

__all__ = ["check_request", "quantise"]

Progress = Callable[[str], None]
X86_HALF = "x86 CPUs compute FP16 slower than FP32; this graph is half the size, and fast on GPUs"


def quantise(
    base: Bundle,
    target: Path,
    request: Request,
    *,
    calibration: Source | None = None,
    held: Source | None = None,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> Quantised:
    """Write `target`: `base` in the precision that was asked for.

    Args:
        calibration: clips that ranges are taken from; INT8 only.
        held: labelled recordings that the loss is measured on; needed unless the gate is off.

    Raises:
        OutputExistsError: `target` exists and `force` is not given.
        UsageError, DataError, ClipError: something that was given cannot be used.
        OverBudgetError: nothing keeps the budget; CheckFailedError: nothing was measured.
    """
    check_request(base, request, calibration, held)
    with (
        fresh_directory(target, mark=MANIFEST, force=force) as folder,
        tempfile.TemporaryDirectory() as place,
    ):
        job = _Job(base, request, Path(place), progress)
        if request.to == "int8":
            job.calibrate(calibration)
        job.open_gate(held, calibration)
        try:
            found = job.run()
        finally:
            job.close()
        if found.chosen is None:
            raise OverBudgetError(_over_budget(found), found)
        found = job.finish(found, folder, target.name)
    return replace(
        found,
        bundle=Bundle(target),
        report=replace(found.report, bundle=str(target)) if found.report else None,
    )


def check_request(
    base: Bundle, request: Request, calibration: Source | None, held: Source | None
) -> None:
    """That the request can be met, before anything is run.

    Raises:
        UsageError: it cannot; MissingDependencyError: not on this machine.
    """
    precision = base.manifest.precision
    check_target(request.target)
    if precision.actual != "fp32":
        raise UsageError(
            f"{base.path} is {precision.actual} already; start from the FP32 bundle that it was made of."
        )
    if request.budget < 0:
        raise UsageError(f"budget must be 0 or more points of top-1, got {request.budget}.")
    if request.to == "bf16":
        _check_bf16(request)
    if request.to == "int8":
        recipe_for(request.target)
        check_opset(base.manifest.opset)
        if calibration is None and not request.noise_calibration:
            raise UsageError(NO_DATA)
        if calibration is not None and request.noise_calibration:
            raise UsageError("--data and --noise-calibration exclude each other; keep the data.")
    elif request.exclude is not None:
        raise UsageError(f"--exclude is for int8; {request.to} keeps no layer out.")
    if request.gate and held is None:
        raise CheckFailedError(
            "the loss of accuracy cannot be measured without held-out labelled recordings. Give them "
            "with --eval-data FILE --eval-split SPLIT, or give up the check with --no-gate."
        )


def _check_bf16(request: Request) -> None:
    if request.target != "openvino":
        raise UsageError(
            f"bf16 is a way to run an FP32 graph, and {request.target} has none; say --for openvino."
        )
    judge_on, why = runner_of("openvino")
    if judge_on != "openvino":
        raise MissingDependencyError(f"bf16 cannot be judged here: {why}.")


class _Job:
    """One request on its way."""

    def __init__(self, base: Bundle, request: Request, scratch: Path, progress: Progress) -> None:
        self.base = base
        self.request = request
        self.scratch = scratch
        self.progress = progress
        self.backend, note = runner_of(request.target)
        self.notes: list[str] = [note] if note else []
        self.recipe: Recipe | None = None
        self.calibration: Calibration | None = None
        self.quantiser: Quantiser | None = None
        self.gate: Gate | None = None
        self.count = 0
        self.maker = Maker(base, self._precision(), command=request.command)

    def _precision(self, calibration: CalibrationRecord | None = None) -> PrecisionRecord:
        request = self.request
        return PrecisionRecord(
            requested=request.to,
            actual=request.to,
            # FP16 is in the graph itself: nothing may be lowered further.
            compute="bf16" if request.to == "bf16" else "fp32",
            target=None if request.to == "fp16" else request.target,
            base=base_hash(self.base),
            calibration=calibration,
        )

    # ---- before ------------------------------------------------------------------------------

    def calibrate(self, source: Source | None) -> None:
        """Clips, and the ranges of all tensors on them."""
        request, manifest = self.request, self.base.manifest
        self.recipe = recipe = recipe_for(request.target)
        inner = self.scratch / "int8"
        inner.mkdir()
        self.quantiser = Quantiser(self.base.model_path, inner, recipe, exclude=request.exclude)
        self.progress("preparing calibration clips")
        clips = self.scratch / "clips"
        if source is None:
            self.calibration = from_noise(manifest, request.samples, request.seed, clips)
        else:
            with load(self.base.path) as model:
                self.calibration = from_data(
                    model, source.data, source.split, request.samples, request.seed, clips
                )
        self.notes += self.calibration.notes
        method = request.method or recipe.method
        self.quantiser.calibrate(manifest, self.calibration, method, self.progress)
        record = CalibrationRecord(
            data=self.calibration.data,
            sha256=self.calibration.sha256,
            split=self.calibration.split,
            samples=self.calibration.count,
            method=method,
            scheme=recipe.scheme,
        )
        self.maker = Maker(
            self.base,
            self._precision(record),
            golden_of(self.base, self.calibration),
            request.command,
        )

    def open_gate(self, held: Source | None, calibration: Source | None) -> None:
        """The records to judge on, if any."""
        if not self.request.gate or held is None:
            self.notes.append("the accuracy gate is off: nobody knows what this bundle loses")
            return
        same = calibration is not None and _same_file(calibration.data, held.data)
        used = self.calibration.indices if self.calibration else ()
        indices, notes = held_out(held.data, held.split, used, same_file=same)
        self.notes += notes
        self.gate = Gate(self.base, held.data, held.split, indices, self.backend)

    def close(self) -> None:
        """Release what is open."""
        if self.gate:
            self.gate.close()

    # ---- trials ------------------------------------------------------------------------------

    def run(self) -> Quantised:
        """Candidates until one keeps the budget."""
        request = self.request
        self.progress(f"writing {request.to}")
        first = self.make(())
        trials, blocks = [first], tuple[BlockError, ...]()
        if self.gate:
            trials = [self._judged(first)]
            if self.quantiser and not trials[0].within and not request.allow:
                trials, blocks = self._search(trials[0])
        base_ms = None
        if request.latency:
            base_ms, trials = time_trials(self.base, trials, self.backend, self.progress)
        free = request.allow or not self.gate
        chosen = next((n for n, one in enumerate(trials) if free or one.within), None)
        return Quantised(
            bundle=None,
            base=self.base,
            request=request,
            recipe=self.recipe,
            backend=self.backend,
            trials=tuple(trials),
            chosen=chosen,
            base_ms=base_ms,
            base_mbytes=trial_of(self.base, "base").mbytes,
            blocks=tuple(blocks),
            layers=(),
            operators={},
            report=None,
            environment=environment(),
            notes=tuple(self.notes),
        )

    def _judged(self, trial: Trial) -> Trial:
        assert self.gate is not None
        # What was asked for in spite of everything is verified once, at the end.
        sound = (lambda _: True) if self.request.allow else self._sound
        return judge(self.gate, trial, self.request.budget, self.progress, sound)

    def _sound(self, bundle: Bundle) -> bool:
        self.progress("verifying")
        return verify_bundle(bundle, backend=self.backend, seeds=2).passed

    def _search(self, first: Trial) -> tuple[list[Trial], tuple[BlockError, ...]]:
        assert self.quantiser is not None
        assert self.calibration is not None
        blocks = rank_blocks(
            self.base, self.quantiser, self.calibration, self.scratch, self.progress
        )
        ranked = [one.block for one in blocks]
        trials = back_off(first, ranked, self.make, self._judged)
        return trials, blocks

    def make(self, float_blocks: tuple[str, ...]) -> Trial:
        """A candidate with these blocks left float."""
        folder = folder_of(self.scratch, self.count)
        self.count += 1
        bundle = self._write(folder, float_blocks)
        blocks = list(self.quantiser.blocks) if self.quantiser else []
        name = trade_off_name(float_blocks, blocks) if self.quantiser else self.request.to
        return trial_of(bundle, name, float_blocks)

    def _write(self, folder: Path, float_blocks: tuple[str, ...], **fields: Any) -> Bundle:
        parity = self.base.manifest.parity
        fields.setdefault("parity", parity.model_dump() if parity else None)
        if self.request.to == "bf16":
            return self.maker.write(folder, None, **fields)
        if self.request.to == "fp16":
            return self.maker.write(folder, self._fill_half, **fields)
        quantiser = self.quantiser
        assert quantiser is not None
        layers = {
            name
            for block, names in quantiser.blocks.items()
            if block not in float_blocks
            for name in names
        }
        return self.maker.write(
            folder,
            lambda path: quantiser.write(path, layers=layers),
            float_layers=[name for name in quantiser.usable if name not in layers],
            **fields,
        )

    def _fill_half(self, path: Path) -> None:
        model = read_model(self.base.model_path)
        for note in (*to_half(model), X86_HALF):
            if note not in self.notes:
                self.notes.append(note)
        save_model(model, path)

    # ---- after -------------------------------------------------------------------------------

    def finish(self, found: Quantised, folder: Path, name: str) -> Quantised:
        """Verify the chosen one and write it where it belongs.

        Raises:
            CheckFailedError: it does not compute what it should.
        """
        trial = found.trial
        assert trial is not None
        self.progress("verifying")
        report = verify_bundle(trial.bundle, backend=self.backend, seeds=2, progress=self.progress)
        refuse_failed(report)
        layers: tuple[LayerError, ...] = ()
        if self.calibration is not None:
            self.progress("error of each layer")
            layers = layer_errors(self.base, trial.bundle, self.calibration)
        self._write(
            folder,
            trial.float_blocks,
            name=name,
            accuracy=trial.accuracy.model_dump() if trial.accuracy else None,
            parity=parity_fields(report, self.base.manifest),
        )
        counts = Graph(read_model(folder / "model.onnx")).counts()
        return replace(found, report=report, layers=layers, operators=counts)


def _same_file(one: Dataset, other: Dataset) -> bool:
    return one.path.resolve() == other.path.resolve()


def _over_budget(found: Quantised) -> str:
    """Why no bundle was written."""
    best = min(found.trials, key=lambda one: one.accuracy.points if one.accuracy else float("inf"))
    lost = best.accuracy
    assert lost is not None
    return (
        f"{found.request.to} loses {lost.points:.2f} ± {lost.margin:.2f} points of top-1 at best "
        f"({lost.before:.2%} to {lost.after:.2%} on {lost.records} records), allowed are "
        f"{found.request.budget:g}; no bundle is written. Try more --samples, another --method, "
        "--to bf16 or fp16, a larger --budget, or write it all the same with --allow."
    )
