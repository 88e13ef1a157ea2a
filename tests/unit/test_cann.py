"""ONNX Runtime's CANN provider: on the NPU in the types of the graph, or refused.

There is no NPU here.  A stand-in for InferenceSession takes the provider's place and computes on the
CPU; what ONNX Runtime itself does with nodes that only the CPU has is asked of the real one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgcn_deploy import api
from stgcn_deploy.backends import cann
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.errors import BackendError, UsageError
from stgcn_deploy.measure.verify import failure_text

CANN = BACKENDS["cann"]
SHAPE = (1, 3, 20, 18, 2)


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Path:
    path: Path = example().bundle
    return path


class Provider:
    """How the provider of this test behaves, and what its sessions were asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.known = {"precision_mode", *cann.OPTIONS}
        self.providers = [cann.PROVIDER, "CPUExecutionProvider"]
        self.answer: dict[str, str] | None = None
        self.error: Exception | None = None
        self.real: Any = None


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """An onnxruntime-cann whose provider computes on the CPU."""
    import onnxruntime

    state, real = Provider(), onnxruntime.InferenceSession
    state.real = real

    class Session:
        def __init__(
            self, source: Any, settings: Any, providers: Any, enable_fallback: int
        ) -> None:
            ((name, options),) = providers
            state.asked.append(
                {
                    "name": name,
                    "options": options,
                    "fallback": enable_fallback,
                    "no cpu": settings.get_session_config_entry(cann.NO_CPU),
                    "threads": settings.intra_op_num_threads,
                }
            )
            if unknown := [one for one in options if one not in state.known]:
                raise RuntimeError(f'Unknown provider option: "{unknown[0]}".')
            if state.error is not None:
                raise state.error
            self._session = real(source, providers=["CPUExecutionProvider"])
            self._options = options if state.answer is None else state.answer

        def get_providers(self) -> list[str]:
            return state.providers

        def get_provider_options(self) -> dict[str, dict[str, str]]:
            return {cann.PROVIDER: self._options}

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [cann.PROVIDER, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(cann, "version", lambda package: "1.24.4")
    return state


# ---- what is not there ---------------------------------------------------------------------------


def test_the_usual_onnxruntime_has_no_such_provider(bundle: Path) -> None:
    if CANN.version():
        pytest.skip("onnxruntime-cann is installed here")
    assert CANN.version() is None
    assert "has no CANNExecutionProvider" in str(CANN.available())
    with pytest.raises(BackendError, match="pip install onnxruntime-cann"):
        CANN.open(bundle / "model.onnx", OpenOptions())


def test_the_provider_without_the_toolkit_is_not_usable(
    provider: Provider, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the wheel says that it has the provider, and its sessions run on the CPU."""

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert "set_env.sh" in str(CANN.available())
    with pytest.raises(BackendError, match=r"libascendcl\.so: cannot open"):
        CANN.open(bundle / "model.onnx", OpenOptions())
    assert provider.asked == []


# ---- what is asked for and got -------------------------------------------------------------------


def test_a_session_is_on_the_npu_alone_and_keeps_the_types(
    provider: Provider, bundle: Path
) -> None:
    assert CANN.available() is None
    assert CANN.version() == "1.24.4"
    with CANN.open(bundle / "model.onnx", OpenOptions(threads=1)) as session:
        batch = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
        found = session.run({"input": batch})["output"]
    (asked,) = provider.asked
    assert asked["name"] == "CANNExecutionProvider"
    assert asked["options"]["precision_mode"] == "must_keep_origin_dtype"
    assert asked["options"]["dump_om_model"] == "0"
    assert (asked["fallback"], asked["no cpu"], asked["threads"]) == (0, "1", 1)
    plain = provider.real(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    assert np.array_equal(found, plain.run(["output"], {"input": batch})[0])


def test_the_option_of_later_versions_is_tried_too(provider: Provider, bundle: Path) -> None:
    provider.known = {"precision_mode_v2", *cann.OPTIONS}
    with CANN.open(bundle / "model.onnx", OpenOptions()):
        pass
    assert [one["options"].get("precision_mode_v2") for one in provider.asked] == [None, "origin"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"providers": ["CPUExecutionProvider"]}, "got CPUExecutionProvider"),
        ({"providers": ["CPUExecutionProvider", cann.PROVIDER]}, "got CPUExecutionProvider"),
        ({"answer": {"precision_mode": "force_fp16"}}, "keep the types .* 'force_fp16'"),
        ({"answer": {}}, "keep the types"),
        ({"known": {"device_id"}}, "Unknown provider option"),
        ({"error": RuntimeError("no memory on the device")}, "no memory on the device"),
        (
            {"error": RuntimeError("graph nodes that are assigned to the default CPU EP, but fallback "
            "to CPU EP has been explicitly disabled by the user.")},
            "some of it would run on the CPU.*stgcn quantize --to fp16",
        ),
        (
            {"error": RuntimeError("Conflicting session configuration: explicitly added the CPU EP")},
            "the provider could not be made",
        ),
    ],
)  # fmt: skip
def test_whatever_else_it_does_is_refused(
    provider: Provider, bundle: Path, change: dict[str, Any], message: str
) -> None:
    for name, value in change.items():
        setattr(provider, name, value)
    with pytest.raises(BackendError, match=message):
        CANN.open(bundle / "model.onnx", OpenOptions())


def test_nodes_on_the_cpu_are_an_error_of_onnx_runtime_itself(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stand-in: this provider is absent, so that all nodes would run on the CPU."""
    if CANN.version():
        pytest.skip("onnxruntime-cann is installed here")
    monkeypatch.setattr(cann.CannBackend, "available", lambda self: None)
    monkeypatch.setattr("warnings.warn", lambda *arguments, **options: None)
    with pytest.raises(BackendError, match="some of it would run on the CPU"):
        CANN.open(bundle / "model.onnx", OpenOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OpenOptions(compute="bf16"), "does not compute in bfloat16"),
        (OpenOptions(compute=None), "say which: compute="),
        (OpenOptions(tap="logit"), "no tensor called 'logit'"),
    ],
)
def test_what_it_cannot_do_is_refused(
    provider: Provider, bundle: Path, options: OpenOptions, message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        CANN.open(bundle / "model.onnx", options)


# ---- a bundle ------------------------------------------------------------------------------------


def test_verification_compares_logits(provider: Provider, bundle: Path) -> None:
    report = api.verify(bundle, backend="cann", seeds=1)
    assert report.passed, failure_text(report)
    assert report.golden.max_error < 2e-6
    assert "log-prob" not in " ".join(check.detail for check in report.checks)


def test_a_precision_without_a_tolerance_is_not_judged(
    provider: Provider, bundle: Path, tmp_path: Path
) -> None:
    from checkpoints import copied, edit_manifest

    def change(manifest: dict[str, Any]) -> None:
        manifest["precision"]["actual"] = "int8"

    other = edit_manifest(copied(bundle, tmp_path), change)
    with pytest.raises(UsageError, match="no tolerance is on record for cann int8"):
        api.verify(other, backend="cann")
