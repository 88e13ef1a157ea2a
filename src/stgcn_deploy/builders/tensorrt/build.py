"""An engine by TensorRT's Python bindings: one path for 8.5 to 11, see api.py for where they differ."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.builders.base import Progress
from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.attempts import Made, engine_name
from stgcn_deploy.builders.tensorrt.audit import audit_engine
from stgcn_deploy.builders.tensorrt.calibrator import (
    Batches,
    Calibrating,
    cache_of,
    make_calibrator,
    prepare_batches,
)
from stgcn_deploy.builders.tensorrt.device import Device
from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.network import parse
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import Rung
from stgcn_deploy.builders.tensorrt.profiles import Profile, add_profile
from stgcn_deploy.builders.tensorrt.progress import by_messages, monitor
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, MissingDependencyError, UsageError
from stgcn_deploy.files import fresh_file

__all__ = ["PythonBuild", "device_name", "open_engine"]

# What an engine for every GPU from Ampere on runs on.
AMPERE_PLUS = "sm_80+"


def device_name(device: Callable[[], Device], *, hardware_compatible: bool) -> str:
    """What an engine that is built here runs on; "unknown" where CUDA does not tell."""
    if hardware_compatible:
        return AMPERE_PLUS
    try:
        return device().architecture()
    except MissingDependencyError:
        return "unknown"


def open_engine(api: Api, logger: Any, messages: Messages, plan: bytes, what: str) -> Any:
    """An engine out of its bytes.

    Raises:
        BuildError: TensorRT does not take them.
    """
    engine = api.runtime(logger, own=True).deserialize_cuda_engine(plan)
    if engine is None:
        raise BuildError(f"TensorRT {api.version} cannot open {what}: {messages.diagnosis()}")
    return engine


@dataclass
class PythonBuild:
    """Builds one bundle in this process.

    Attributes:
        device: opens the GPU, for calibration and its name.
        scratch: folder for the engine and calibration clips.
    """

    api: Api
    bundle: Bundle
    options: TensorRtOptions
    profile: Profile
    scratch: Path
    progress: Progress
    device: Callable[[], Device]

    def __post_init__(self) -> None:
        self._batches: Batches | None = None
        self._prepared = False

    def make(self, rung: Rung) -> Made:
        """Build, open and audit an engine.

        Raises:
            MissingDependencyError: no GPU.
            UsageError: an option that this version does not have, or a cache that does not fit.
            BuildError: TensorRT failed; the message names the layer and what to try.
        """
        api, messages = self.api, Messages(by_messages(self.progress))
        logger = api.logger(messages)
        builder = api.builder(logger, messages)
        if reason := api.refusal(rung, builder):
            raise BuildError(reason)
        self.progress(f"reading the graph for {rung.precision}", None)
        network = builder.create_network(api.network_flags(explicit=rung.explicit))
        parser = parse(api, network, logger, self.bundle.model_path, self.profile)
        config = builder.create_builder_config()
        profile = self._configure(config, builder, rung)
        with ExitStack() as stack:
            calibrator = self._calibrate(config, profile, rung, messages, stack)
            watch = monitor(api, messages, self.progress)
            if watch is not None:
                config.progress_monitor = watch
            timing = self._load_timing(config, messages)
            self.progress(f"building {rung.words}", None)
            plan = builder.build_serialized_network(network, config)
            # TensorRT holds no references of its own to what is ours.
            del parser, calibrator, watch
        messages.raise_held()
        if plan is None:
            raise BuildError(messages.diagnosis())
        data = bytes(plan)
        self._save_timing(config, timing)
        engine = open_engine(api, logger, messages, data, "the engine that it just built")
        audit = audit_engine(api, engine, self.profile)
        path = self.scratch / engine_name(rung.precision)
        path.write_bytes(data)
        hardware = self.options.hardware_compatible
        return Made(
            path,
            audit,
            device_name(self.device, hardware_compatible=hardware),
            {"tensorrt": api.version},
            self._words(rung),
        )

    # ---- configuration -----------------------------------------------------------------------

    def _configure(self, config: Any, builder: Any, rung: Rung) -> Any:
        """Everything that the options say; returns the profile object."""
        api, trt, options = self.api, self.api.trt, self.options
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
        # Without details the audit would see names of layers only.
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        api.set_precision(config, rung)
        api.set_opt_level(config, options.opt_level)
        api.share_profiles(config)
        api.set_compatibility(
            config, hardware=options.hardware_compatible, version=options.version_compatible
        )
        if options.refit:
            config.set_flag(trt.BuilderFlag.REFIT)
        return add_profile(builder, config, self.profile)

    def _calibrate(
        self, config: Any, profile: Any, rung: Rung, messages: Messages, stack: ExitStack
    ) -> Any:
        """Give the configuration a calibrator where the rung wants one."""
        if not rung.calibrate:
            return None
        if not self._prepared:
            self.progress("preparing calibration clips", None)
            self._batches = prepare_batches(self.bundle, self.options, self.profile, self.scratch)
            self._prepared = True
        cache = cache_of(self.api.version, self.bundle, self.options, self.profile, self._batches)
        cache.read()  # what does not fit is refused before the long part
        inner = Calibrating(self._batches, cache, self.device, messages)
        stack.callback(inner.close)
        calibrator = make_calibrator(self.api, self.options.calib_method, inner)
        config.int8_calibrator = calibrator
        self.api.set_calibration_profile(config, profile)
        return calibrator

    def _load_timing(self, config: Any, messages: Messages) -> Any:
        """Kernel timings of earlier builds; None without --timing-cache.

        Raises:
            UsageError: the file is of another version or GPU.
        """
        path = self.options.timing_cache
        if path is None:
            return None
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        if cache is None or not config.set_timing_cache(cache, False):
            told = f" ({messages.errors[-1]})" if messages.errors else ""
            raise UsageError(
                f"{path} is no timing cache of TensorRT {self.api.version} on this GPU{told}; name "
                "another file with --timing-cache, or remove this one."
            )
        return cache

    def _save_timing(self, config: Any, cache: Any) -> None:
        """Put timings back, those of this build added."""
        path = self.options.timing_cache
        if path is None or cache is None:
            return
        kept = bytes(config.get_timing_cache().serialize())
        with fresh_file(path, force=True) as partial:
            partial.write_bytes(kept)

    def _words(self, rung: Rung) -> tuple[str, ...]:
        """What was done, for the record."""
        options = self.options
        said = [
            f"TensorRT {self.api.version} Python API",
            rung.words,
            "strongly typed" if rung.explicit and self.api.strong else "weakly typed",
            "TF32 off",
            f"workspace {options.workspace}",
            *self.profile.words,
        ]
        if rung.calibrate:
            said.append(f"calibrated by {options.calib_method}")
        if options.opt_level is not None:
            said.append(f"optimisation level {options.opt_level}")
        named = ("refit", "hardware_compatible", "version_compatible")
        said += [name.replace("_", "-") for name in named if getattr(options, name)]
        return tuple(said)
