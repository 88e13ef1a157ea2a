"""OpenVINO on the CPU: the bundle's ONNX file, read directly, in exactly the precision asked for.

Its own defaults would choose bfloat16 for float32 files where the CPU has it; here the precision is said
and then read back.  Nothing is cached: reading and compiling a network of the family takes well under a
second.
"""

from __future__ import annotations

import functools
import io
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, Session, TensorSpec
from stgcn_deploy.backends.openvino_probe import refusal
from stgcn_deploy.backends.tap import tapped
from stgcn_deploy.backends.telemetry import no_telemetry
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, MissingDependencyError, requires

__all__ = ["BACKEND", "OpenVinoBackend"]

DEVICE = "CPU"
# Ours -> (OpenVINO's element type, the device capability that it needs).
PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
DTYPES = {"f16": "float16", "f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64"}
# The frontend ends the names of results so.
RESULT = "/sink_port_0"


class OpenVinoSession(Session):
    """One compiled model with one request.

    Args:
        network: what was compiled, where it has open axes.  The CPU plugin does not check that sizes fit
            together, and reads beyond its buffers where they do not; so each new size is first inferred
            through the network, which does check.
    """

    def __init__(
        self,
        compiled: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        network: Any = None,
    ) -> None:
        super().__init__(inputs, outputs)
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._network = network
        self._fitting: set[tuple[tuple[int, ...], ...]] = set()

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            self._check_sizes(feed)
            # Inputs are only read, so they may be shared; outputs are copies.
            found = self._request.infer(list(feed.values()), share_inputs=True)
            return {spec.name: found[place] for place, spec in enumerate(self.outputs)}
        except Exception as error:  # the runtime raises plain RuntimeError
            raise BackendError(f"OpenVINO failed: {_short(error)}") from error

    def _check_sizes(self, feed: dict[str, NDArray[Any]]) -> None:
        sizes = tuple(array.shape for array in feed.values())
        if self._network is not None and sizes not in self._fitting:
            self._network.reshape(dict(enumerate(sizes)))
            self._fitting.add(sizes)

    def _close(self) -> None:
        self._request = self._compiled = self._network = None


class OpenVinoBackend:
    """See Backend."""

    name = "openvino"
    install = "pip install 'stgcn-deploy[openvino]'"
    taps = True

    def version(self) -> str | None:
        """See Backend.version."""
        try:
            return version("openvino")
        except PackageNotFoundError:
            return None

    def available(self) -> str | None:
        """See Backend.available; the first time on a machine takes a child process about a second."""
        number = self.version()
        if number is None:
            return f"openvino is not installed; {self.install}"
        return refusal(number)

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:  # noqa: ARG002 - any batch
        """See Backend.model_of."""
        return bundle.model_path

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            MissingDependencyError: OpenVINO is absent, or does not survive on this machine.
            BackendError: the model does not load, the CPU does not compute as asked, or OpenVINO would
                compute in another precision.
        """
        with requires("running a model on OpenVINO", self.install), no_telemetry():
            import openvino
        if reason := self.available():
            raise MissingDependencyError(reason)
        core = openvino.Core()
        hint = self._precision(core, options.said)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": HINTS[options.hint],
            "INFERENCE_PRECISION_HINT": hint,
            # No other shortcut either, such as activations quantised on the fly; costs nothing here.
            "EXECUTION_MODE_HINT": "ACCURACY",
        }
        if options.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        try:
            network = _read(model, options.tap)
            outputs = [_result_name(result) for result in network.get_results()]
            compiled = core.compile_model(network, DEVICE, settings)
            actual = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        except MissingDependencyError:  # ours, and said already
            raise
        except Exception as error:
            raise BackendError(f"OpenVINO cannot load {model}: {_short(error)}") from error
        if actual != hint:
            raise BackendError(
                f"asked OpenVINO to compute {model} in {hint}, but it would compute in {actual}."
            )
        return _session(compiled, network, outputs, model)

    @staticmethod
    def _precision(core: Any, compute: str) -> str:
        """OpenVINO's name of a precision.

        Raises:
            BackendError: this CPU would have to fall back to another.
        """
        hint, capability = PRECISIONS[compute]
        has = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        if capability not in has:
            raise BackendError(
                f"OpenVINO does not compute in {compute} on this CPU (it lists {', '.join(has)}); "
                "open a bundle of another precision."
            )
        return hint


@functools.cache
def _frontends() -> Any:
    """Kept for good: what a frontend made must not outlive the library it came from."""
    from openvino.frontend import FrontEndManager

    return FrontEndManager()


def _read(model: Path, tap: str | None) -> Any:
    """The network of an ONNX file.

    Asked of the ONNX frontend alone: Core.read_model would try each format it knows on a damaged file.

    Raises:
        BackendError: the file is empty, or has no tensor `tap`.
    """
    frontend = _frontends().load_by_framework("onnx")
    source = io.BytesIO(tapped(model, tap)) if tap else str(model)
    network = frontend.convert(frontend.load(source))
    if not network.inputs or not network.outputs:
        raise BackendError(f"{model} holds no network: it has no inputs or no outputs.")
    return network


def _result_name(result: Any) -> str:
    """An output's own name; where an Identity was taken out its tensor has two."""
    names: set[str] = result.output(0).get_names()
    own: str = result.get_friendly_name().removesuffix(RESULT)
    return own if own in names or not names else min(names)


def _session(compiled: Any, network: Any, outputs: list[str], model: Path) -> OpenVinoSession:
    ports = [(port, port.get_any_name()) for port in compiled.inputs]
    results = list(zip(compiled.outputs, outputs, strict=True))
    is_open = any(port.get_partial_shape().is_dynamic for port, _ in (*ports, *results))
    axes = _axis_names(model) if is_open else {}
    return OpenVinoSession(
        compiled,
        tuple(_spec(port, name, axes.get(name, [])) for port, name in ports),
        tuple(_spec(port, name, axes.get(name, [])) for port, name in results),
        network if is_open else None,
    )


def _spec(port: Any, name: str, axes: list[str]) -> TensorSpec:
    """A port; `axes` are the names that its open axes have in the file."""
    partial = port.get_partial_shape()
    shape: list[int | str] = []
    for index, size in enumerate([] if partial.rank.is_dynamic else partial):
        said = axes[index] if index < len(axes) else ""
        shape.append((said or f"axis{index}") if size.is_dynamic else size.get_length())
    kind = port.get_element_type().get_type_name()
    return TensorSpec(name, DTYPES.get(kind, kind), tuple(shape))


def _axis_names(model: Path) -> dict[str, list[str]]:
    """Names of the open axes of inputs and outputs, which OpenVINO does not keep; without onnx none."""
    try:
        import onnx
    except ImportError:
        return {}
    graph = onnx.load(str(model), load_external_data=False).graph
    return {
        value.name: [dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


def _short(error: Exception) -> str:
    """What was wrong, without the trace of OpenVINO's own source files before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:400] if lines else type(error).__name__


BACKEND = OpenVinoBackend()
