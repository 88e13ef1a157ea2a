"""INT8: QuantizeLinear and DequantizeLinear around layers, by ONNX Runtime's static quantiser.

Ranges are taken once, for every tensor that a recipe could quantise; after that any choice of layers
costs a second.  That is what makes a search over blocks affordable.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import ExportError, UsageError, requires
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.measure.visible import LOGITS
from stgcn_deploy.precision.calibration import Calibration
from stgcn_deploy.precision.graphs import (
    Graph,
    block_of,
    is_quantised,
    read_model,
    save_model,
    sort_nodes,
)
from stgcn_deploy.precision.recipes import Method, Recipe

__all__ = ["MAX_OPSET", "MIN_OPSET", "Quantiser", "check_opset"]

# Scales per channel came with 13; ONNX Runtime's quantiser writes graphs that do not load from 21 on.
MIN_OPSET, MAX_OPSET = 13, 20
# Histograms are made of every tensor of so many clips at a time.
CHUNK = 8
INSTALL = "pip install onnxruntime onnx"


def check_opset(opset: int) -> None:
    """That a graph of this operator set can be quantised.

    Raises:
        UsageError: it cannot.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UsageError(
            f"the graph has opset {opset}; INT8 graphs can be made of {MIN_OPSET} to {MAX_OPSET}. "
            f"Export the checkpoint again with --opset 18."
        )


@dataclass(frozen=True)
class _Reader:
    """Calibration batches as the quantiser asks for them; iterated anew for each pass."""

    feeds: Iterator[dict[str, Any]]

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


class Quantiser:
    """A graph with the ranges of its tensors, ready to be quantised in any choice of layers.

    Args:
        source: the FP32 graph.
        scratch: an empty folder for what is in between.
        exclude: pattern of node names that stay float beside what the recipe leaves out.

    Raises:
        UsageError: the graph is quantised, of an operator set that cannot be, or has no layer that the
            recipe takes; or `exclude` is no pattern, or fits no layer.
    """

    def __init__(
        self, source: Path, scratch: Path, recipe: Recipe, *, exclude: str | None = None
    ) -> None:
        with requires("quantising", INSTALL):
            import onnxruntime.quantization  # noqa: F401
        self.recipe = recipe
        model = read_model(source)
        if is_quantised(model):
            raise UsageError("the graph is quantised already; start from the FP32 bundle.")
        graph = Graph(model)
        check_opset(graph.opset)
        self.usable = self._usable(graph)
        self.layers = self._chosen(graph, exclude)
        self._source = scratch / "float.onnx"
        self._ranges: Any = None
        save_model(model, self._source)

    def _usable(self, graph: Graph) -> tuple[str, ...]:
        """Layers that the recipe takes, classifiers aside."""
        recipe, heads = self.recipe, graph.heads()
        return tuple(
            node.name
            for node in graph.weighted()
            if node.op_type in recipe.op_types
            and node.name not in heads
            and LOGITS not in node.output
            and not any(re.search(pattern, node.name) for pattern in recipe.keep)
        )

    def _chosen(self, graph: Graph, exclude: str | None) -> tuple[str, ...]:
        recipe, usable = self.recipe, self.usable
        kept = list(usable)
        if exclude is not None:
            try:
                kept = [name for name in usable if not re.search(exclude, name)]
            except re.error as error:
                raise UsageError(
                    f"--exclude {exclude!r} is no regular expression: {error}."
                ) from None
            if len(kept) == len(usable):
                raise UsageError(
                    f"--exclude {exclude!r} fits none of the layers that would be quantised; they are "
                    f"called like {', '.join(usable[:3]) or 'nothing: there are none'}."
                )
        if not kept:
            raise UsageError(
                f"nothing is left to quantise: recipe {recipe.name} takes {', '.join(recipe.op_types)} "
                f"with constant weights but for the classifier, and the graph has "
                f"{graph.counts()}{' outside --exclude' if exclude else ''}."
            )
        return tuple(kept)

    @property
    def blocks(self) -> dict[str, tuple[str, ...]]:
        """Layers that are quantised, by block, in the graph's order."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self.layers:
            block = block_of(name)
            found[block] = (*found.get(block, ()), name)
        return found

    def calibrate(
        self,
        manifest: Manifest,
        calibration: Calibration,
        method: Method,
        progress: Callable[[str], None],
    ) -> None:
        """Take the ranges of all tensors that may be quantised.

        Raises:
            ExportError: the quantiser could not run the graph.
        """
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator

        kinds = {
            "minmax": CalibrationMethod.MinMax,
            "entropy": CalibrationMethod.Entropy,
            "percentile": CalibrationMethod.Percentile,
        }
        size = manifest.clip.batch
        batches = calibration.batches(size)
        try:
            with _quiet():
                model = self._inferred()
                inferred = self._source.with_name("inferred.onnx")
                save_plain(model, inferred)
                calibrator = create_calibrator(
                    inferred,
                    [*self.recipe.op_types, *self.recipe.between],
                    augmented_model_path=str(self._source.with_name("augmented.onnx")),
                    calibrate_method=kinds[method],
                    extra_options={"symmetric": self.recipe.symmetric},
                )
                done = 0
                # All tensors of one chunk are held at a time; ranges are merged from chunk to chunk.
                while chunk := _take(batches, CHUNK):
                    calibrator.collect_data(_Reader(iter([manifest.feed(one) for one in chunk])))
                    before, done = done, done + len(chunk) * size
                    if before * 4 // calibration.count != done * 4 // calibration.count:
                        progress(
                            f"calibrating: {min(done, calibration.count)} of {calibration.count}"
                        )
                self._ranges = calibrator.compute_data()
        except Exception as error:
            raise ExportError(f"calibration failed in ONNX Runtime: {error}") from error

    def _inferred(self) -> Any:
        """A fresh copy of the graph with the shapes of its tensors; the quantiser changes it."""
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        return load_model_with_shape_infer(self._source)

    def write(self, target: Path, *, layers: Collection[str] | None = None) -> dict[str, int]:
        """Quantise some layers (all that may be, without `layers`); returns the operators.

        Raises:
            ExportError: the quantiser failed, or the graph that it made is not valid.
        """
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        recipe = self.recipe
        chosen = [name for name in self.layers if layers is None or name in layers]
        if not chosen:
            raise UsageError("no layer is left to quantise.")
        if self._ranges is None:
            raise UsageError("calibrate before quantising.")
        try:
            with _quiet():
                model = self._inferred()
                quantiser = QDQQuantizer(
                    model,
                    recipe.per_channel,
                    recipe.reduce_range,
                    _type(recipe.weights),
                    _type(recipe.activations),
                    self._ranges,
                    [*chosen, *Graph(model).between(chosen, recipe.between)],
                    [],
                    [*recipe.op_types, *recipe.between],
                    self._options(model, chosen),
                )
                quantiser.quantize_model()
                made = quantiser.model.model
        except Exception as error:
            raise ExportError(
                f"ONNX Runtime's quantiser failed with recipe {recipe.name}: {error}"
            ) from error
        _check_tensors(made)
        sort_nodes(made)
        save_model(made, target)
        return Graph(made).counts()

    def _options(self, model: Any, chosen: Collection[str]) -> dict[str, Any]:
        """The quantiser's further options; weights of `per_tensor` operators get one scale."""
        recipe = self.recipe
        constants = {one.name for one in model.graph.initializer}
        single = {
            name: [{"quant_type": _type(recipe.weights), "symmetric": True}]
            for node in model.graph.node
            if recipe.per_channel and node.op_type in recipe.per_tensor and node.name in chosen
            for name in node.input
            if name in constants
        }
        options = {
            "ActivationSymmetric": recipe.symmetric,
            "WeightSymmetric": True,
            "MatMulConstBOnly": True,
            **recipe.options,
        }
        return options | ({"TensorQuantOverrides": single} if single else {})


def _type(name: str) -> Any:
    from onnxruntime.quantization import QuantType

    return {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}[name]


def _take(batches: Iterator[Any], count: int) -> list[Any]:
    return [one for _, one in zip(range(count), batches, strict=False)]


def _check_tensors(model: Any) -> None:
    """That verification will find the logits.

    Raises:
        ExportError: it would not.
    """
    made = {name for node in model.graph.node for name in node.output}
    if LOGITS not in made:
        raise ExportError(f"quantising lost the tensor {LOGITS!r}; exclude the classifier.")


def save_plain(model: Any, path: Path) -> None:
    """Write a graph that only the quantiser reads."""
    import onnx

    onnx.save_model(model, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser talks on stdout, where results belong, and advises on the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        root.setLevel(before)
