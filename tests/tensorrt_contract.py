"""Builds, calibrates, audits and refits through NVIDIA's own bindings, in a process of its own.

    python tensorrt_contract.py '{"stub": ..., "bindings": ..., "major": ..., "world": {...}, ...}'

The stub library behind the bindings answers every call with the same object, so that every call of ours
passes NVIDIA's own checks of names, types and numbers of arguments.  What it returns means nothing; where
ours goes on with a returned number or text, that one is given here, *after* the real call.  Prints what was
called, as JSON, and leaves without cleaning up: the stub's objects cannot be destroyed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from tensorrt_doubles import HostDevice, inspection


def load_bindings(stub: str, folder: str, major: int) -> Any:
    spec = importlib.util.spec_from_file_location("make_stub", stub)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(folder, tempfile.mkdtemp(), major, True)


class Calls:
    """A record of what reached the bindings, and answers that mean something."""

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.made: list[tuple[str, str]] = []

    def watch(self, where: Any, name: str, answer: Any = ...) -> None:
        """Record a method, which is really called; `answer` takes the place of what it returns."""
        real = getattr(where, name)

        def called(this: Any, *arguments: Any, **named: Any) -> Any:
            try:
                found = real(this, *arguments, **named)
            except UnicodeDecodeError:  # the stub's object, read as text
                found = None
            told = ", ".join(str(getattr(one, "name", one))[:80] for one in arguments)
            self.made.append((f"{where.__name__}.{name}", told))
            if answer is ...:
                return found
            return answer(this, *arguments) if callable(answer) else answer

        setattr(where, name, called)

    def give(self, where: Any, name: str, value: Any) -> None:
        """A property whose value means something."""
        setattr(where, name, property(value if callable(value) else lambda _: value))

    def watch_property(self, where: Any, name: str) -> None:
        """Record what is written to a property, which is really written."""
        real = getattr(where, name)

        def write(this: Any, value: Any) -> None:
            real.__set__(this, value)
            self.made.append((f"{where.__name__}.{name}=", str(getattr(value, "name", value))[:80]))

        setattr(where, name, property(real.__get__, write))

    def since(self, start: int) -> list[tuple[str, str]]:
        return self.made[start:]


def prepare(trt: Any, calls: Calls, state: dict[str, Any]) -> None:
    """Give what is returned a meaning."""
    w, give = calls.watch, calls.give
    w(trt.Builder, "create_network")
    w(trt.Builder, "build_serialized_network", lambda *_: state["plan"])
    w(trt.Builder, "create_optimization_profile")
    w(trt.IOptimizationProfile, "set_shape")
    for name in ("set_memory_pool_limit", "set_flag", "clear_flag", "create_timing_cache"):
        w(trt.IBuilderConfig, name)
    w(trt.IBuilderConfig, "set_timing_cache", True)
    w(trt.IBuilderConfig, "add_optimization_profile", 0)
    if hasattr(trt.IBuilderConfig, "set_calibration_profile"):
        w(trt.IBuilderConfig, "set_calibration_profile")
    for name in ("builder_optimization_level", "hardware_compatibility_level", "profiling_verbosity",
                 "int8_calibrator", "progress_monitor"):  # fmt: skip
        if hasattr(trt.IBuilderConfig, name):
            calls.watch_property(trt.IBuilderConfig, name)
    trt.ITimingCache.serialize = lambda _: b"timings"
    w(trt.OnnxParser, "parse_from_file", True)
    give(trt.INetworkDefinition, "num_inputs", 1)
    give(trt.ITensor, "name", "input")
    give(trt.ITensor, "shape", lambda _: state["shape"])
    w(trt.Runtime, "deserialize_cuda_engine")
    w(trt.ICudaEngine, "create_engine_inspector")
    w(trt.ICudaEngine, "create_execution_context")
    w(trt.IExecutionContext, "set_input_shape", True)
    w(trt.EngineInspector, "get_engine_information", lambda *_: state["inspection"])
    trt.ICudaEngine.serialize = lambda _: b"refitted"
    trt.Refitter.get_missing_weights = lambda _: []
    trt.Refitter.get_all_weights = lambda _: state["weights"]
    w(trt.Refitter, "set_named_weights", True)
    w(trt.Refitter, "refit_cuda_engine", True)
    if hasattr(trt, "OnnxParserRefitter"):
        w(trt.OnnxParserRefitter, "refit_from_file", True)


def refusals(trt: Any) -> dict[str, str]:
    """What older code calls, and what these bindings answer: proof that they do check."""
    builder = trt.Builder(trt.Logger())
    config = builder.create_builder_config()
    tries = {
        "workspace as a float": lambda: config.set_memory_pool_limit(
            trt.MemoryPoolType.WORKSPACE, 4e9
        ),
        "profile of two shapes": lambda: builder.create_optimization_profile().set_shape(
            "a", (1,), (2,)
        ),
        "a flag that never was": lambda: trt.BuilderFlag.STRONGLY_TYPED,
        "a path that is no str": lambda: trt.OnnxParser(
            builder.create_network(0), trt.Logger()
        ).parse_from_file(Path("model.onnx")),
        "max_workspace_size": lambda: setattr(config, "max_workspace_size", 1 << 30),
        "BuilderFlag.FP16": lambda: trt.BuilderFlag.FP16,
    }
    found = {}
    for name, call in tries.items():
        try:
            call()
            found[name] = "works"
        except (AttributeError, TypeError) as error:
            found[name] = type(error).__name__
    return found


def main() -> None:
    asked = json.loads(sys.argv[1])
    trt = load_bindings(asked["stub"], asked["bindings"], asked["major"])
    sys.modules["tensorrt"] = trt
    found: dict[str, Any] = {"version": trt.__version__, "refused": refusals(trt), "runs": {}}

    from stgcn_deploy.builders.tensorrt.builder import TensorRtBuilder
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.errors import StgcnError
    from stgcn_deploy.manifest import BuildRecord
    from stgcn_deploy.precision.graphs import read_model

    world, scratch = asked["world"], Path(asked["scratch"])
    calls, device = Calls(trt), HostDevice()
    state: dict[str, Any] = {"plan": b"plan"}
    prepare(trt, calls, state)
    builder = TensorRtBuilder(device=lambda: device)

    def build(run: str, name: str, precision: str, counts: dict[str, int], **options: Any) -> None:
        bundle = Bundle(world[name])
        shape = bundle.manifest.input_shapes["input"]
        state["shape"] = tuple(-1 if isinstance(one, str) else one for one in shape)
        state["inspection"] = inspection(counts, dynamic=name == "open", modern=asked["major"] > 10)
        folder, start = scratch / run, len(calls.made)
        folder.mkdir()
        seen: list[float] = []
        try:
            (built,) = builder.build(
                bundle,
                builder.options(precision=precision, **options),
                folder,
                lambda _, share: seen.append(share) if share is not None else None,
            )
            said: dict[str, Any] = {"file": built.path.name, "record": built.record.model_dump()}
        except StgcnError as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        found["runs"][run] = {**said, "calls": calls.since(start)}

    newer = {} if asked["major"] == 8 and asked["minor"] < 6 else {"opt_level": 3}
    timing = scratch / "timing.cache"
    build("fp32", "fp32", "fp32", {"fp32": 9}, timing_cache=timing, refit=True, **newer)
    build("fp32 compatible", "fp32", "auto", {"fp32": 9}, hardware_compatible=True,
          version_compatible=True)  # fmt: skip
    build("fp32 open", "open", "fp32", {"fp32": 9}, max_batch=4)
    build("fp16 by flag", "fp32", "fp16", {"fp16": 9})
    for method in ("entropy", "minmax"):
        build(
            f"int8 by {method}", "open", "int8", {"int8": 9}, calib=Path(world["data"]),
            calib_split="train1", calib_samples=16, calib_method=method, max_batch=4,
        )  # fmt: skip
    build("fp16 in the graph", "fp16", "auto", {"fp16": 9})
    build("int8 in the graph", "int8", "auto", {"int8": 9})
    build("fallen back", "fp32", "fp16", {"fp32": 9}, allow_fallback=True)

    # An engine to refit, as `stgcn build` would put it into its bundle.
    old = Bundle(world["fp32"])
    record = found["runs"]["fp32"].get("record")
    if record:
        manifest = old.manifest.model_copy(update={"builds": (BuildRecord.model_validate(record),)})
        files = {**manifest.files, record["file"]: manifest.files["model.onnx"]}
        old.manifest = manifest.model_copy(update={"files": files})
        (scratch / "old").mkdir()
        for name in ("model.onnx",):
            (scratch / "old" / name).write_bytes((old.path / name).read_bytes())
        (scratch / "old" / record["file"]).write_bytes(b"plan")
        old.path = scratch / "old"
        from stgcn_deploy.builders.tensorrt.api import load_api
        from stgcn_deploy.builders.tensorrt.refit import refit

        state["weights"] = [one.name for one in read_model(old.model_path).graph.initializer]
        start = len(calls.made)
        (scratch / "refit").mkdir()
        (built,) = refit(
            load_api(), old, Bundle(world["other"]), scratch / "refit", lambda *_: None
        )
        found["runs"]["refit"] = {
            "file": built.path.name,
            "bytes": built.path.read_bytes().decode(),
            "record": built.record.model_dump(),
            "weights": len(state["weights"]),
            "calls": calls.since(start),
        }
    # Calibrators and monitors really are objects of the vendor's classes; their methods answer.
    found["objects"] = objects(trt, builder, Bundle(world["open"]), scratch, Path(world["data"]))
    sys.stdout.write("RESULT" + json.dumps(found, default=str) + "\n")
    sys.stdout.flush()
    os._exit(0)


def objects(trt: Any, builder: Any, bundle: Any, scratch: Path, data: Path) -> dict[str, Any]:
    """What TensorRT would call back, called through the vendor's classes."""
    from stgcn_deploy.builders.tensorrt.api import Api
    from stgcn_deploy.builders.tensorrt.log import Messages
    from stgcn_deploy.builders.tensorrt.progress import monitor

    api, messages, told = Api(trt), Messages(), []
    logger = api.logger(messages)
    logger.log(trt.Logger.ERROR, "Could not find any implementation for node Conv_7.")
    watch = monitor(api, messages, lambda text, share: told.append((text, share)))
    if watch is not None:
        assert isinstance(watch, trt.IProgressMonitor)
        watch.phase_start("Building Engine", None, 2)
        watch.step_complete("Building Engine", 0)
        watch.phase_finish("Building Engine")
    said: dict[str, Any] = {
        "diagnosis": messages.diagnosis(),
        "logger": isinstance(logger, trt.ILogger),
        "progress": told,
    }
    if hasattr(trt, "IInt8EntropyCalibrator2"):
        said["calibrators"] = calibrators(trt, api, bundle, scratch, data)
    return said


def calibrators(trt: Any, api: Any, bundle: Any, scratch: Path, data: Path) -> dict[str, Any]:
    from stgcn_deploy.builders.tensorrt.calibrator import (
        Calibrating,
        cache_of,
        make_calibrator,
        prepare_batches,
    )
    from stgcn_deploy.builders.tensorrt.log import Messages
    from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
    from stgcn_deploy.builders.tensorrt.profiles import profile_of

    found = {}
    for method in ("entropy", "minmax"):
        options = TensorRtOptions(
            precision="int8", profile="batch=1:3:4", calib=data, calib_split="train1",
            calib_samples=16, calib_method=method, calib_cache=scratch / f"{method}.cache",
        )  # fmt: skip
        profile, device = profile_of(bundle.manifest, options), HostDevice()
        (scratch / method).mkdir()
        batches = prepare_batches(bundle, options, profile, scratch / method)
        cache = cache_of(api.version, bundle, options, profile, batches)
        messages = Messages()
        inner = Calibrating(batches, cache, lambda d=device: d, messages)
        made = make_calibrator(api, method, inner)
        assert isinstance(made, trt.IInt8Calibrator)
        given = []
        while (pointers := made.get_batch(["input"])) is not None:
            given.append(pointers)
        made.write_calibration_cache(b"TRT-ranges")
        inner.close()
        messages.raise_held()
        found[method] = {
            "algorithm": str(made.get_algorithm().name),
            "batch": made.get_batch_size(),
            "batches": len(given),
            "shape": np.shape(device.buffers[0].uploads[0]),
            "freed": [one.freed for one in device.buffers],
            "read": made.read_calibration_cache().decode(),
            "origin": json.loads(cache.side_car.read_text()),
        }
    return found


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
