"""An engine by trtexec, for where there are no Python bindings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.builders.base import Progress
from stgcn_deploy.builders.tensorrt.attempts import Made, engine_name
from stgcn_deploy.builders.tensorrt.audit import audit_of
from stgcn_deploy.builders.tensorrt.build import device_name
from stgcn_deploy.builders.tensorrt.calibrator import cache_of
from stgcn_deploy.builders.tensorrt.device import Device
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import Rung
from stgcn_deploy.builders.tensorrt.profiles import Profile
from stgcn_deploy.builders.tensorrt.trtexec import LINE, Version, build_argv, run
from stgcn_deploy.builders.tool import public_argv
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, UsageError

__all__ = ["TrtexecBuild", "check_calibration"]

SHOWN = 100


def check_calibration(options: TensorRtOptions) -> None:
    """That trtexec has ranges to take: it reads a cache and makes none.

    Raises:
        UsageError: there is none.
    """
    if options.calib_cache is None or not options.calib_cache.is_file():
        raise UsageError(
            "trtexec takes INT8 ranges from a --calib-cache that is there and would make them up without "
            "one; make it with --builder python --calib DATA --calib-cache FILE, or quantise the graph: "
            "stgcn quantize BUNDLE --to int8 --for tensorrt"
        )
    if options.calib_method != "entropy":
        # Its own calibrator is an entropy one, and calibrates on noise where a cache is of another kind.
        raise UsageError("trtexec takes caches of --calib-method entropy only.")


@dataclass(frozen=True)
class TrtexecBuild:
    """Builds one bundle in a child process.

    Attributes:
        tool: the executable; version: its own.
    """

    tool: Path
    version: Version
    bundle: Bundle
    options: TensorRtOptions
    profile: Profile
    scratch: Path
    progress: Progress
    device: Callable[[], Device]

    def make(self, rung: Rung) -> Made:
        """Build, time and audit an engine.

        Raises:
            MissingDependencyError: the tool cannot be started.
            UsageError: an option that this version does not have, or no fitting cache.
            BuildError: it failed; the message names the layer and what to try.
        """
        scratch = self.scratch.resolve()
        engine, layers = scratch / engine_name(rung.precision), scratch / "layers.json"
        for old in (engine, layers):
            old.unlink(missing_ok=True)
        if rung.calibrate:
            check_calibration(self.options)
            self._check_cache()
        argv = build_argv(
            self.tool,
            self.version,
            self.bundle.model_path.resolve(),
            engine,
            layers,
            rung,
            self.profile,
            self.options,
        )
        self.progress(f"trtexec builds {rung.words}", None)
        try:
            report = run(argv, scratch, self._tell)
            _check_written(engine, layers)
            audit = audit_of(layers.read_text(encoding="utf-8", errors="replace"))
        except BaseException:
            engine.unlink(missing_ok=True)
            raise
        finally:
            layers.unlink(missing_ok=True)
        if report.words:
            self.progress(report.words, None)
        hardware = self.options.hardware_compatible
        return Made(
            engine,
            audit,
            device_name(self.device, hardware_compatible=hardware),
            {"trtexec": ".".join(map(str, self.version))},
            public_argv(argv),
        )

    def _check_cache(self) -> None:
        """The side-car of the cache must be of this bundle and version; trtexec would not look."""
        version = ".".join(map(str, self.version))
        cache_of(version, self.bundle, self.options, self.profile, None).read()

    def _tell(self, line: str) -> None:
        found = LINE.match(line)
        if found and found["level"] == "I" and found["text"].strip():
            self.progress(found["text"].strip()[:SHOWN], None)


def _check_written(engine: Path, layers: Path) -> None:
    """That what should be there after a success is there."""
    if not engine.is_file() or not engine.stat().st_size:
        raise BuildError("trtexec says that it passed, and wrote no engine; see its log.")
    if not layers.is_file():
        raise BuildError("trtexec wrote no layer information, so the audit has nothing to look at.")
