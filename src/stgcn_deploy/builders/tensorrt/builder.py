"""The builder of the table: `stgcn build BUNDLE --to tensorrt`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.builders.base import BuildPlan, Built, Progress
from stgcn_deploy.builders.tensorrt.api import PIP, Api, load_api
from stgcn_deploy.builders.tensorrt.attempts import Made, climb_down, engine_name
from stgcn_deploy.builders.tensorrt.build import PythonBuild
from stgcn_deploy.builders.tensorrt.calibrator import needs_data
from stgcn_deploy.builders.tensorrt.device import Device, open_device
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import (
    QUANTIZE,
    Rung,
    graph_precision,
    ladder,
    quantised_share,
    requested_of,
)
from stgcn_deploy.builders.tensorrt.profiles import Profile, profile_of
from stgcn_deploy.builders.tensorrt.refit import engine_of, refit, same_architecture
from stgcn_deploy.builders.tensorrt.tool import TrtexecBuild, check_calibration
from stgcn_deploy.builders.tensorrt.trtexec import build_argv, find_trtexec, version_of_trtexec
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import MissingDependencyError, UsageError
from stgcn_deploy.manifest import BuildRecord

__all__ = ["BUILDER", "TensorRtBuilder"]

# Arguments are shown for this one where none is installed.
TYPICAL = (10, 3)
TRT8_OPSET = 17
# The first version that takes precision from the graph alone.
WITHOUT_FLAGS = 11


@dataclass(frozen=True)
class TensorRtBuilder:
    """See builders.base.Builder.

    Attributes:
        bindings: loads TensorRT's Python bindings; device: opens the GPU.
    """

    bindings: Callable[[], Api] = load_api
    device: Callable[[], Device] = open_device
    name: str = "tensorrt"
    install: str = PIP
    options: type[TensorRtOptions] = TensorRtOptions

    def available(self) -> str | None:
        """See Builder.available; the bindings or trtexec will do."""
        try:
            self.bindings()
        except MissingDependencyError as error:
            reason = str(error)
        else:
            return None
        try:
            find_trtexec()
        except MissingDependencyError:
            return reason
        return None

    # ---- plan --------------------------------------------------------------------------------

    def plan(self, bundle: Bundle, options: TensorRtOptions) -> BuildPlan:
        """See Builder.plan."""
        if options.refit_from is not None:
            return self._refit_plan(bundle, options.refit_from)
        mine, requested, rungs, profile = self._prepared(bundle, options)
        version, missing = self._version(options)
        first = rungs[0]
        steps = [
            f"read {bundle.model_path.name} (opset {bundle.manifest.opset})",
            f"build {first.words}, workspace {options.workspace}, TF32 off",
            *(f"shapes: {words}" for words in profile.words or ("fixed",)),
            "count the engine's layers by precision, and name it after what was found",
        ]
        if len(rungs) > 1:
            wider = " and then ".join(one.precision for one in rungs[1:])
            steps.append(
                f"where that fails: {wider}" if options.allow_fallback else "where that fails: stop"
            )
        commands: tuple[tuple[str, ...], ...] = ()
        flagless = version is not None and version[0] >= WITHOUT_FLAGS and not first.explicit
        if options.builder == "trtexec" and not flagless:
            commands = (self._argv(bundle, options, first, profile, version or TYPICAL),)
        return BuildPlan(
            files=(engine_name(requested),),
            commands=commands,
            steps=tuple(steps),
            notes=tuple(self._notes(bundle, options, mine, first, version)),
            missing=missing,
        )

    def _prepared(
        self, bundle: Bundle, options: TensorRtOptions
    ) -> tuple[str, str, tuple[Rung, ...], Profile]:
        """Precision of the graph, the one asked for, the tries, the shapes.

        Raises:
            UsageError: the bundle or the options do not fit TensorRT.
        """
        manifest = bundle.manifest
        mine = graph_precision(manifest)
        requested = requested_of(manifest, options.precision)
        share = quantised_share(bundle.model_path) if mine == "int8" else 1.0
        rungs = ladder(mine, requested, share)
        if rungs[0].calibrate:
            if options.builder == "trtexec":
                check_calibration(options)
            elif reason := needs_data(options):
                raise UsageError(reason)
        elif options.calib is not None or options.calib_cache is not None:
            raise UsageError(
                "--calib and --calib-cache are for --precision int8 of an FP32 bundle; this would be "
                f"built in {requested}, for which nothing is calibrated."
            )
        return mine, requested, rungs, profile_of(manifest, options)

    def _version(self, options: TensorRtOptions) -> tuple[tuple[int, int] | None, str | None]:
        """Version of what would build, and why it cannot here."""
        try:
            if options.builder == "trtexec":
                return version_of_trtexec(find_trtexec()), None
            return self.bindings().number, None
        except MissingDependencyError as error:
            return None, str(error)

    def _argv(
        self,
        bundle: Bundle,
        options: TensorRtOptions,
        rung: Rung,
        profile: Profile,
        version: tuple[int, int],
    ) -> tuple[str, ...]:
        try:
            tool = str(find_trtexec())
        except MissingDependencyError:
            tool = "trtexec"
        engine = Path(engine_name(rung.precision))
        return build_argv(
            tool, version, bundle.model_path, engine, Path("layers.json"), rung, profile, options
        )

    @staticmethod
    def _notes(
        bundle: Bundle,
        options: TensorRtOptions,
        mine: str,
        rung: Rung,
        version: tuple[int, int] | None,
    ) -> list[str]:
        """What the reader should know."""
        notes = []
        if version is None:
            notes.append("TensorRT is not here, so what its version lacks shows when it builds")
            if options.builder == "trtexec":
                notes.append(f"arguments are those of trtexec {TYPICAL[0]}.{TYPICAL[1]}")
        if not rung.explicit and version is not None and version[0] >= WITHOUT_FLAGS:
            notes.append(
                f"TensorRT {version[0]}.{version[1]} cannot lower an FP32 graph, so this try will fail; "
                "make a graph that has the precision: " + QUANTIZE.format(to=rung.precision)
            )
        elif not rung.explicit:
            notes.append(
                "the graph is FP32 and TensorRT lowers it by flags, as versions 8 to 10 can; with the "
                "precision in the graph it is measured first, and 11 builds it: "
                + QUANTIZE.format(to=rung.precision)
            )
        if options.precision == "auto":
            notes.append(f"precision auto: {mine}, as the graph has it")
        if bundle.manifest.opset > TRT8_OPSET and (version is None or version < (10, 0)):
            notes.append(
                f"the graph has opset {bundle.manifest.opset}, TensorRT 8 reads up to {TRT8_OPSET}; for "
                f"it, export with --opset {TRT8_OPSET}"
            )
        if bundle.manifest.clip.skips_absent:
            notes.append(
                "the graph picks occupied person slots as it runs, which TensorRT does slowly if at all; "
                "export without --skip-absent for a GPU"
            )
        return notes

    def _refit_plan(self, bundle: Bundle, source: Path) -> BuildPlan:
        built = Bundle(source)
        record = engine_of(built)
        same_architecture(built.model_path, bundle.model_path)
        try:
            self.bindings()
            missing = None
        except MissingDependencyError as error:
            missing = str(error)
        return BuildPlan(
            files=(engine_name(record.actual),),
            commands=(),
            steps=(f"open {source / record.file}", "give it this bundle's weights", "write it"),
            notes=("nothing is built or tuned anew",),
            missing=missing,
        )

    # ---- build -------------------------------------------------------------------------------

    def build(
        self, bundle: Bundle, options: TensorRtOptions, scratch: Path, progress: Progress
    ) -> tuple[Built, ...]:
        """See Builder.build."""
        if options.refit_from is not None:
            built = Bundle(options.refit_from)
            engine_of(built)
            return refit(self.bindings(), built, bundle, scratch, progress)
        _, requested, rungs, profile = self._prepared(bundle, options)
        make = self._maker(bundle, options, profile, scratch, progress)
        found = climb_down(rungs, make, allow_fallback=options.allow_fallback)
        path = found.made.path
        if path.name != engine_name(found.actual):
            path = path.rename(path.with_name(engine_name(found.actual)))
        record = BuildRecord(
            target=self.name,
            file=path.name,
            requested=requested,
            actual=found.actual,
            attempts=found.attempts,
            shapes=profile.record,
            device=found.made.device,
            layers=found.made.audit.layers,
            tools=found.made.tools,
            command=found.made.command,
        )
        return (Built(path, record),)

    def _maker(
        self,
        bundle: Bundle,
        options: TensorRtOptions,
        profile: Profile,
        scratch: Path,
        progress: Progress,
    ) -> Callable[[Rung], Made]:
        if options.builder == "trtexec":
            tool = find_trtexec()
            version = version_of_trtexec(tool)
            return TrtexecBuild(
                tool, version, bundle, options, profile, scratch, progress, self.device
            ).make
        try:
            api = self.bindings()
        except MissingDependencyError as error:
            raise MissingDependencyError(f"{error}{_tool_hint()}") from error
        return PythonBuild(api, bundle, options, profile, scratch, progress, self.device).make


def _tool_hint() -> str:
    """That trtexec is here, if it is."""
    try:
        return f". {find_trtexec()} is here: --builder trtexec needs no bindings"
    except MissingDependencyError:
        return ""


BUILDER = TensorRtBuilder()
