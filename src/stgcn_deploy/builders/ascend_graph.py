"""Whether atc can take a bundle's graph, and which shapes it is compiled for."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BundleError, UsageError, requires
from stgcn_deploy.manifest import Manifest

__all__ = ["batches_of", "check_graph", "graph_precision"]

# Opsets that all toolkits in use take, and the newest that any does (CANN 8).
OLD_OPSET, MAX_OPSET = 11, 18
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv")
# Their sizes follow from values, and an OM has one size.
BY_VALUE = ("NonZero", "Compress", "Loop", "If", "Scan", "Unique")
DOUBLE = 11
AXES = {"T": "frames", "M": "persons"}


def check_graph(bundle: Bundle) -> tuple[str, ...]:
    """That atc takes this graph, as far as one can tell without it; what the reader should know.

    Raises:
        UsageError: it does not; the message says what to export instead.
    """
    manifest = bundle.manifest
    _check_precision(bundle)
    operators, opset = _read(bundle)
    if operators["Einsum"]:
        raise UsageError(
            f"{bundle.path} has {operators['Einsum']} Einsum nodes (graph form {manifest.graph_form}), "
            f"and atc has no Einsum. Export it in another form: {_export(manifest, '--graph-form matmul')}"
            " (or --graph-form aggregate, where the family has it)."
        )
    found = [name for name in BY_VALUE if operators[name]]
    if manifest.clip.skips_absent or found:
        what = ", ".join(found) or "parts that skip absent persons"
        raise UsageError(
            f"{bundle.path} has {what}: sizes that follow from values, and an OM has one size. Export it "
            f"without --skip-absent: {_export(manifest, '--graph-form matmul')}"
        )
    if opset > MAX_OPSET:
        raise UsageError(
            f"{bundle.path} is of opset {opset}, and no atc reads more than {MAX_OPSET}; export it "
            f"with: {_export(manifest, f'--graph-form {_form(manifest)}')}"
        )
    notes = []
    if opset > OLD_OPSET:
        notes.append(
            f"the graph is of opset {opset}; toolkits before CANN 8 may refuse it, and all take "
            f"--opset {OLD_OPSET}"
        )
    for axis in sorted(set(manifest.clip.dynamic) & set(AXES)):
        size = manifest.clip.frames if axis == "T" else manifest.clip.persons
        notes.append(f"open in the graph, fixed in an OM: {AXES[axis]} {size}")
    return tuple(notes)


def _form(manifest: Manifest) -> str:
    """The form to export again: the same, where it is one without Einsum."""
    return manifest.graph_form if manifest.graph_form in ("aggregate", "matmul") else "matmul"


def _check_precision(bundle: Bundle) -> None:
    precision = bundle.manifest.precision
    if precision.actual not in ("fp32", "fp16"):
        raise UsageError(
            f"{bundle.path} is {precision.actual}, which atc does not read; build from the FP32 bundle "
            "that it was made of. Lower precision is atc's own work: --precision fp16 or mixed."
        )


def graph_precision(bundle: Bundle) -> str:
    """What the graph itself is in: fp32 or fp16."""
    return bundle.manifest.precision.actual


def _read(bundle: Bundle) -> tuple[Counter[str], int]:
    """The graph's operators, those in other graphs of it too, and its opset.

    Raises:
        BundleError: it cannot be read; UsageError: more than one domain, double precision, QDQ.
    """
    with requires("reading a graph", "pip install onnx"):
        import onnx
    try:
        model = onnx.load(str(bundle.model_path), load_external_data=False)
    except Exception as error:
        raise BundleError(
            f"{bundle.model_path} cannot be read: {error}; export the bundle again."
        ) from None
    operators = Counter(node.op_type for node in model.graph.node)
    foreign = sorted(
        {node.domain for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign:
        raise UsageError(
            f"{bundle.path} has operators of {', '.join(foreign)}, and atc knows those of ONNX alone; "
            "export it again."
        )
    quantised = [name for name in QUANTISED if operators[name]]
    if quantised:
        raise UsageError(
            f"{bundle.path} holds {', '.join(quantised)}, which atc does not read; build from the FP32 "
            "bundle that it was made of."
        )
    if any(kind == DOUBLE for kind in _kinds(model)):
        raise UsageError(
            f"{bundle.path} has constants in double precision, which the chip does not compute; export "
            "it again with this version."
        )
    opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not opsets:
        raise BundleError(f"{bundle.model_path} names no operator set; export the bundle again.")
    return operators, int(opsets[0])


def _kinds(model: Any) -> set[int]:
    """Element types of all constants."""
    found = {one.data_type for one in model.graph.initializer}
    for node in model.graph.node:
        found |= {one.t.data_type for one in node.attribute if one.name == "value"}
    return found


def _export(manifest: Manifest, form: str) -> str:
    """The export to run, with what is known of the one that was."""
    files = [source.file for source in manifest.sources]
    given = shlex.quote(files[0]) if len(files) == 1 else "..."
    sizes = f"--frames {manifest.clip.frames} --persons {manifest.clip.persons}"
    batch = " --dynamic batch" if "N" in manifest.clip.dynamic else ""
    return f"stgcn export {given} -o DIR {form} --opset {OLD_OPSET} {sizes}{batch}"


def batches_of(
    manifest: Manifest, asked: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Batch sizes to build, and what to know of them.

    Raises:
        UsageError: the graph is fixed to another one.
    """
    clip = manifest.clip
    if "N" not in clip.dynamic:
        wrong = [size for size in asked if size != clip.batch]
        if wrong:
            raise UsageError(
                f"the graph is fixed to batch {clip.batch}, so that no OM of batch {wrong[0]} can be made "
                "of it; export it with an open one: stgcn export CHECKPOINT -o DIR --dynamic batch, or "
                f"leave out --batch {','.join(map(str, asked))}."
            )
        return (clip.batch,), ()
    low, high = clip.dynamic["N"]
    outside = [str(size) for size in asked if not low <= size <= high]
    notes: tuple[str, ...] = ()
    if outside:
        notes = (
            f"the graph was verified for batches {low} to {high} when it was exported, not for "
            f"{', '.join(outside)}; each size is computed clip by clip alike",
        )
    return asked or (1,), notes
