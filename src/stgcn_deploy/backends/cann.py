"""Ascend NPUs through ONNX Runtime: its CANN provider, which compiles the bundle's graph when it is opened.

ONNX Runtime falls back to the CPU in silence: where the provider cannot be made (the wheel of 1.22 even
where its own fallback is switched off), and for operators that the provider does not have.  Here neither
passes: nodes on the CPU are an error of the session, and the list of providers is read back.
"""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stgcn_deploy.backends.base import OpenOptions, Session
from stgcn_deploy.backends.onnxruntime import OnnxRuntimeSession
from stgcn_deploy.backends.tap import tapped
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, requires

__all__ = ["BACKEND", "CannBackend"]

PROVIDER = "CANNExecutionProvider"
PACKAGE = "onnxruntime-cann"
# CANN's runtime, which the provider is linked with; set_env.sh makes it findable.
LIBRARY = "libascendcl.so"
SOURCE = "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
# The provider's own default would compute float32 graphs in half precision.  The types of the graph are
# kept; the name of the option is another one in versions that are not released yet.
PRECISION = (("precision_mode", "must_keep_origin_dtype"), ("precision_mode_v2", "origin"))
OPTIONS = {
    "device_id": "0",
    "enable_cann_graph": "1",
    # Else each session leaves an OM file in the working directory.
    "dump_om_model": "0",
}
NO_CPU = "session.disable_cpu_ep_fallback"


class CannBackend:
    """See Backend."""

    name = "cann"
    install = (
        f"install the CANN toolkit (hiascend.com/cann), then: pip uninstall -y onnxruntime && pip install "
        f"{PACKAGE} 'numpy<2', and in each shell: {SOURCE}"
    )
    taps = True

    def version(self) -> str | None:
        """See Backend.version."""
        try:
            return version(PACKAGE)
        except PackageNotFoundError:
            return None

    def available(self) -> str | None:
        """See Backend.available."""
        try:
            import onnxruntime
        except ImportError as error:
            return f"onnxruntime does not load: {error}; {self.install}"
        there = onnxruntime.get_available_providers()
        if PROVIDER not in there:
            return (
                f"the onnxruntime that is installed has no {PROVIDER} (it has {', '.join(there)}); "
                f"{self.install}"
            )
        try:
            ctypes.CDLL(LIBRARY)
        except OSError as error:
            return f"CANN's runtime does not load ({error}); {SOURCE}"
        return None

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:  # noqa: ARG002 - any batch
        """See Backend.model_of."""
        return bundle.model_path

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        Raises:
            MissingDependencyError: onnxruntime is absent.
            BackendError: the provider is not there, does not take the model, or would leave some of it to
                the CPU.
        """
        with requires("running a model through CANN", self.install):
            import onnxruntime  # noqa: F401
        if options.said == "bf16":
            raise BackendError(
                "the CANN provider does not compute in bfloat16; open a bundle of another precision."
            )
        if reason := self.available():
            raise BackendError(reason)
        try:
            source = tapped(model, options.tap) if options.tap else str(model)
            session = _session(source, options.threads)
        except BackendError:
            raise
        except Exception as error:  # onnx and the runtime raise many kinds
            raise BackendError(
                f"the CANN provider cannot load {model}: {_explained(error)}"
            ) from error
        _check(session, model)
        return OnnxRuntimeSession(session)


def _session(source: bytes | str, threads: int | None) -> Any:
    """An InferenceSession on the NPU alone."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.add_session_config_entry(NO_CPU, "1")
    if threads is not None:
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
    first: Exception | None = None
    for name, value in PRECISION:
        providers = [(PROVIDER, {**OPTIONS, name: value})]
        try:
            return onnxruntime.InferenceSession(
                source, settings, providers=providers, enable_fallback=0
            )
        except Exception as error:
            first = first or error
            if name not in str(error):  # about something else than this option
                raise first from None
    assert first is not None
    raise first


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split())[:400]
    if "explicitly added the CPU EP" in text:
        # What wheels up to 1.22 do where the provider cannot be made.
        return f"the provider could not be made, so that it would run on the CPU ({text})"
    if "fallback to CPU EP" in text:
        return (
            f"some of it would run on the CPU ({text}) Convolutions of some chips (310P) do not take "
            "float32: make an FP16 bundle with stgcn quantize --to fp16; or build an OM: stgcn build --to "
            "ascend."
        )
    return text


def _check(session: Any, model: Path) -> None:
    """That the session is on the NPU, in the precision of the graph.

    Raises:
        BackendError: it is not.
    """
    providers = session.get_providers()
    if providers[:1] != [PROVIDER]:
        raise BackendError(
            f"asked ONNX Runtime to run {model} on {PROVIDER}, got {', '.join(providers)}; its log says "
            "why."
        )
    told = session.get_provider_options().get(PROVIDER, {})
    asked = dict(PRECISION)
    found = {name: told[name] for name in asked if name in told}
    if not found or any(asked[name] != value for name, value in found.items()):
        raise BackendError(
            f"asked the CANN provider to keep the types of {model}, and it says {found or told}."
        )


BACKEND = CannBackend()
