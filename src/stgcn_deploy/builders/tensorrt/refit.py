"""New weights into an engine that is there: seconds in place of a build.

Only for the same graph with other numbers, so the two graphs are compared first: TensorRT itself would
take any weights whose names and sizes fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgcn_deploy.builders.base import Built, Progress
from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.attempts import BUILT, engine_name
from stgcn_deploy.builders.tensorrt.build import open_engine
from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.network import parser_errors
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, UsageError
from stgcn_deploy.manifest import AttemptRecord, BuildRecord
from stgcn_deploy.precision.graphs import read_model

__all__ = ["engine_of", "refit", "same_architecture"]

TARGET = "tensorrt"
SHOWN = 3


def engine_of(built: Bundle) -> BuildRecord:
    """The engine of a bundle.

    Raises:
        UsageError: it has none, or one whose ranges belong to the old weights.
    """
    records = [one for one in built.manifest.builds if one.target == TARGET]
    if not records:
        raise UsageError(
            f"{built.path} holds no TensorRT engine to refit; build one first: stgcn build "
            f"{built.path} --to tensorrt --refit"
        )
    if records[0].actual == "int8":
        raise UsageError(
            f"the engine of {built.path} is INT8: its ranges were taken with its old weights, and no refit "
            "replaces them. Build the new bundle."
        )
    return records[0]


def same_architecture(old: Path, new: Path) -> None:
    """That two ONNX files differ in numbers alone.

    Raises:
        UsageError: they do not; the first difference is named.
    """
    first, second = read_model(old).graph, read_model(new).graph
    if [node.op_type for node in first.node] != [node.op_type for node in second.node]:
        raise UsageError(
            _refused(f"it has {len(first.node)} nodes, the new one {len(second.node)}")
        )
    for before, after in zip(first.node, second.node, strict=True):
        if (list(before.input), list(before.output), before.attribute) != (
            list(after.input), list(after.output), after.attribute
        ):  # fmt: skip
            raise UsageError(_refused(f"node {before.name!r} has other inputs or attributes"))
    for before, after in ((first.input, second.input), (first.output, second.output)):
        if list(before) != list(after):
            raise UsageError(_refused("inputs or outputs have other shapes"))
    weights = {one.name: (tuple(one.dims), one.data_type) for one in first.initializer}
    for one in second.initializer:
        if weights.get(one.name) != (tuple(one.dims), one.data_type):
            raise UsageError(
                _refused(f"weights {one.name!r} are {weights.get(one.name)}, now {tuple(one.dims)}")
            )


def _refused(why: str) -> str:
    return (
        f"the engine was built of another architecture: {why}. A refit replaces numbers only; build this "
        "bundle."
    )


def refit(
    api: Api, built: Bundle, bundle: Bundle, scratch: Path, progress: Progress
) -> tuple[Built, ...]:
    """The engine of `built` with the weights of `bundle`, in `scratch`.

    Raises:
        UsageError: no engine, or one of another architecture.
        BuildError: it was not built with --refit, is of another version, or lacks weights.
    """
    record = engine_of(built)
    same_architecture(built.model_path, bundle.model_path)
    messages = Messages()
    logger = api.logger(messages)
    progress(f"opening {record.file}", None)
    source = built.path / record.file
    engine = open_engine(api, logger, messages, source.read_bytes(), str(source))
    if not engine.refittable:
        raise BuildError(
            f"{source} cannot be refitted: it was built without --refit. Build this bundle, with --refit "
            "if its weights will change again."
        )
    refitter = api.trt.Refitter(engine, logger)
    progress("setting weights", None)
    if api.onnx_refitter is not None:
        _from_file(api, refitter, logger, bundle.model_path)
        kept: list[Any] = []
    else:
        kept = _by_name(api, refitter, bundle.model_path)
    missing = list(refitter.get_missing_weights())
    if missing:
        raise BuildError(
            f"{source} needs {len(missing)} more weight(s) than the graph has "
            f"({', '.join(missing[:SHOWN])}); build this bundle."
        )
    if not refitter.refit_cuda_engine():
        raise BuildError(f"TensorRT does not refit {source}: {messages.diagnosis()}")
    del kept  # the arrays had to live until here
    plan = engine.serialize()
    if plan is None:
        raise BuildError(f"the refitted engine cannot be written: {messages.diagnosis()}")
    path = scratch / engine_name(record.actual)
    path.write_bytes(bytes(plan))
    done = f"refitted from {built.manifest.name} ({built.manifest.files[record.file].sha256[:12]})"
    fresh = record.model_copy(
        update={
            "file": path.name,
            "attempts": (AttemptRecord(precision=record.actual, outcome=BUILT),),
            "command": (*record.command, done),
            "tools": {**record.tools, "tensorrt": api.version},
        }
    )
    return (Built(path, fresh),)


def _from_file(api: Api, refitter: Any, logger: Any, model: Path) -> None:
    """10 and later: the parser knows which weights of the file an engine has."""
    parser = api.onnx_refitter(refitter, logger)
    if not parser.refit_from_file(str(model.resolve())):
        raise BuildError(f"TensorRT takes no weights out of {model}: {parser_errors(api, parser)}")


def _by_name(api: Api, refitter: Any, model: Path) -> list[Any]:
    """8.x: its parser named weights as the ONNX file does; returns the arrays, which TensorRT borrows."""
    from onnx import numpy_helper

    arrays = {one.name: one for one in read_model(model).graph.initializer}
    kept = []
    for name in refitter.get_all_weights():
        if name not in arrays:
            raise BuildError(
                f"the engine has weights called {name!r}, and the graph has none of that name: the parser "
                "made them of others. TensorRT 10 refits such engines; here, build this bundle."
            )
        array = numpy_helper.to_array(arrays[name]).ravel()
        weights = api.trt.Weights(array)
        kept += [array, weights]
        if not refitter.set_named_weights(name, weights):
            raise BuildError(
                f"TensorRT refuses new weights for {name!r} ({array.size} values of {array.dtype})."
            )
    return kept
