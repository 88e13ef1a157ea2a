"""The main job of the build half: a loaded checkpoint becomes a verified bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from stgcn_deploy.bundle import Bundle, Golden, write_bundle, write_golden
from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.cores import usable_cores
from stgcn_deploy.errors import ExportError, UsageError
from stgcn_deploy.exporter.exporter import example_inputs, write_onnx
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.exporter.record import draft_manifest, manifest_fields, parity_fields
from stgcn_deploy.exporter.reference import Float64Reference
from stgcn_deploy.files import fresh_directory
from stgcn_deploy.manifest import LABELS, MANIFEST, MODEL
from stgcn_deploy.measure.bench import model_contender, run_bench
from stgcn_deploy.measure.inputs import probes
from stgcn_deploy.measure.verify import VerifyReport, refuse_failed, verify_bundle
from stgcn_deploy.models.families import FAMILIES, graph_forms
from stgcn_deploy.models.shape import InputShape

__all__ = ["Exported", "build_bundle", "class_names", "input_shape", "native_shapes", "write_form"]

Progress = Callable[[str], None]
# Forms are compared for this long each; the differences are tens of percent.
FORM_SECONDS, FORM_ROUNDS = 1.2, 3
TWO_GIB = 1 << 31


@dataclass(frozen=True)
class Exported:
    """What an export gives back."""

    bundle: Bundle
    report: VerifyReport | None
    form_ms: dict[str, float]


def input_shape(checkpoint: LoadedCheckpoint, options: ExportOptions) -> InputShape:
    """The traced sizes and open axes.

    Raises:
        ExportError: persons asked to be open, or to be another number, where data_bn fixes them;
            absent persons asked to be skipped where that cannot be.
        UsageError: fewer frames than the network's strides leave anything of.
    """
    fixed = checkpoint.spec.num_persons
    if fixed and ("M" in options.dynamic or checkpoint.persons != fixed):
        raise ExportError(
            f"this network's data_bn has its own numbers for each of {fixed} persons: export it "
            f"with --persons {fixed}, and without persons in --dynamic."
        )
    stride = checkpoint.spec.temporal_stride
    if checkpoint.frames < 2 * stride:
        raise UsageError(
            f"{checkpoint.frames} frames are too few for a network that keeps every {stride}th; "
            f"give --frames {2 * stride} or more."
        )
    if options.skip_absent and "M" not in checkpoint.spec.axes:
        raise ExportError(
            f"family {checkpoint.spec.family!r} takes one person, its input has no person axis: there "
            "is no absent person to skip. Leave out --skip-absent."
        )
    return InputShape(
        options.batch,
        checkpoint.persons,
        checkpoint.frames,
        options.dynamic,
        skip_absent=options.skip_absent,
    )


def native_shapes(checkpoint: LoadedCheckpoint, options: ExportOptions) -> dict[str, list[int]]:
    """The traced shape of each input, in the codebase's axis order."""
    inputs = checkpoint.spec.inputs
    examples = example_inputs(checkpoint.spec, input_shape(checkpoint, options))
    return {one.name: list(x.shape) for one, x in zip(inputs, examples, strict=True)}


def write_form(
    checkpoint: LoadedCheckpoint, form: str, path: Path, options: ExportOptions
) -> onnx.ModelProto:
    """One graph form (or the unmodified reference form) as an ONNX file."""
    shape = input_shape(checkpoint, options)
    spec, network = checkpoint.spec, checkpoint.network
    if form != "reference":
        network = FAMILIES[spec.family].deploy(network, form, shape)
    return write_onnx(
        network,
        path,
        spec=spec,
        shape=shape,
        options=replace(options, graph_form=form),
    )


def _choose_form(
    checkpoint: LoadedCheckpoint, options: ExportOptions, progress: Progress
) -> tuple[str, dict[str, float]]:
    """The fastest form in ONNX Runtime here, with the median ms of each."""
    allowed = graph_forms(checkpoint.spec)
    forms = [form for form in options.candidates if form in (*allowed, "reference")]
    if not forms:
        raise ExportError(
            f"family {checkpoint.spec.family!r} has no {options.graph_form!r} form; it has "
            f"{', '.join(allowed)}."
        )
    if len(forms) == 1:
        return forms[0], {}
    with tempfile.TemporaryDirectory() as scratch:
        contenders = []
        for form in forms:
            progress(f"writing the {form} form")
            path = Path(scratch) / f"{form}.onnx"
            write_form(checkpoint, form, path, replace(options, external_data=False))
            contenders.append(
                model_contender(
                    form,
                    str(path),
                    backend="onnxruntime",
                    shapes=native_shapes(checkpoint, options),
                    batch=options.batch,
                    threads=usable_cores(),
                )
            )
        report = run_bench(
            contenders,
            duration=FORM_SECONDS,
            rounds=FORM_ROUNDS,
            progress=lambda text: progress(f"measuring graph forms: {text}"),
        )
    broken = [row for row in report.rows if row.error]
    if broken:
        raise ExportError(f"form {broken[0].name} does not run in ONNX Runtime: {broken[0].error}")
    times = {row.name: round(row.percentile(50), 3) for row in report.rows}
    return min(times, key=times.__getitem__), times


def class_names(
    checkpoint: LoadedCheckpoint, labels: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Class names in index order: those given, those in the file, or numbers.

    Raises:
        UsageError: not one a class.
    """
    count = checkpoint.spec.num_classes
    if labels is not None:
        if len(labels) != count:
            raise UsageError(
                f"{len(labels)} labels for {count} classes; give one a line, in order."
            )
        broken = [label for label in labels if label.splitlines() != [label]]
        if broken:
            raise UsageError(f"label {broken[0]!r} is empty or more than a line; give one a line.")
        return labels
    stored = _stored_classes(checkpoint.meta)
    if len(stored) == count:
        return stored
    return tuple(f"class {index}" for index in range(count))


def _stored_classes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names that mmcv and mmengine keep beside the weights, or none."""
    for key, value in meta.items():
        if key.lower() == "classes" and isinstance(value, list):
            return tuple(value)
        if isinstance(value, Mapping) and (found := _stored_classes(value)):
            return found
    return ()


def build_bundle(
    checkpoint: LoadedCheckpoint,
    target: Path,
    options: ExportOptions,
    *,
    labels: tuple[str, ...] | None = None,
    force: bool = False,
    verify: bool = True,
    command: str = "",
    progress: Progress = lambda _: None,
) -> Exported:
    """Write `target`: graph, manifest, golden cases, labels; then verify it.

    Args:
        labels: class names; None takes those in the file, or numbers them.
        verify: compare with the reference form before the bundle takes its place; a bundle that
            fails is not written.

    Raises:
        OutputExistsError: `target` exists and `force` is not given.
        ExportError, UsageError: contradictory options.
        CheckFailedError: the written graph is not the network.
    """
    names = class_names(checkpoint, labels)
    input_shape(checkpoint, options)
    report: VerifyReport | None = None
    with fresh_directory(target, mark=MANIFEST, force=force) as folder:
        form, times = _choose_form(checkpoint, options, progress)
        progress(f"writing the {form} form")
        model = write_form(checkpoint, form, folder / MODEL, options)
        if (folder / MODEL).stat().st_size >= TWO_GIB:
            raise ExportError("the graph exceeds 2 GiB; export with --external-data.")
        (folder / LABELS).write_text("\n".join(names) + "\n", encoding="utf-8")
        fields = manifest_fields(checkpoint, options, form, times, model.ir_version)
        fields |= {"name": target.name, "command": command}
        reference = Float64Reference(checkpoint.network, checkpoint.spec.inputs)
        progress("recording golden cases from the float64 reference")
        cases = probes(draft_manifest(fields))
        write_golden(
            folder, tuple(Golden(case.name, case.batch, reference(case.batch)) for case in cases)
        )
        write_bundle(folder, fields)
        if verify:
            found = verify_bundle(Bundle(folder), reference=reference, seeds=2, progress=progress)
            report = replace(found, bundle=str(target))
            refuse_failed(report)
            fields["parity"] = parity_fields(report)
            write_bundle(folder, fields)
    return Exported(Bundle(target), report, times)
