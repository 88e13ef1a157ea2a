"""What is asked of TensorRT, and what follows for shapes and precision; nothing of TensorRT's is needed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.precision import (
    graph_precision,
    ladder,
    quantised_share,
    requested_of,
)
from stgcn_deploy.builders.tensorrt.profiles import profile_of
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import UsageError
from stgcn_deploy.manifest import Manifest, PrecisionRecord

# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("4GiB", 4 << 30), ("512 MiB", 512 << 20), ("1.5gib", 3 << 29), ("100MB", 10**8)],
)
def test_sizes(text: str, bytes_: int) -> None:
    assert TensorRtOptions(workspace=text).workspace_bytes == bytes_


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"workspace": "4"}, "write it as 4GiB"),
        ({"workspace": "4 parsecs"}, "write it as 4GiB"),
        ({"workspace": "1MiB"}, "too small"),
        ({"workspace": "9" * 400 + "GiB"}, "beyond any device"),
        ({"precision": "fp61"}, "did you mean 'fp16'"),
        ({"precision": "bf16"}, "Known: auto, fp32, fp16, int8"),
        ({"calib_method": "percentile"}, "--calib-method 'percentile'"),
        ({"builder": "polygraphy"}, "Known: python, trtexec"),
        ({"max_batch": 0}, "at least 1"),
        ({"opt_level": 6}, "0 to 5"),
        ({"calib_samples": 3}, "at least 16"),
        ({"calib_split": "train"}, "--calib, which is not given"),
        (
            {"refit_from": Path("a"), "precision": "fp16", "max_batch": 2},
            "out --precision, --max-batch",
        ),
        ({"refit": True, "version_compatible": True}, "does not refit"),
    ],
)
def test_bad_options_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        TensorRtOptions(**wrong)


def test_every_option_has_a_default() -> None:
    assert TensorRtOptions().precision == "auto"
    assert not TensorRtOptions().allow_fallback


# ---- shapes --------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tensorrt_world: dict[str, Path]) -> Manifest:
    return Bundle(tensorrt_world["open"]).manifest


def _profile(manifest: Manifest, **options: Any) -> Any:
    return profile_of(manifest, TensorRtOptions(**options))


def test_open_axes_have_the_range_that_was_verified(manifest: Manifest) -> None:
    assert manifest.clip.dynamic == {"N": (1, 8)}
    made = _profile(manifest)
    assert made.ranges["N"] == (1, 1, 8)
    assert made.shapes["input"] == ((1, 2, 32, 17, 1), (1, 2, 32, 17, 1), (8, 2, 32, 17, 1))
    assert made.record["input"] == made.shapes["input"]
    assert made.open_inputs == ("input",)
    assert made.words == ("batch 1 to 8, tuned for 1",)


def test_a_fixed_bundle_has_one_shape(tensorrt_world: dict[str, Path]) -> None:
    made = _profile(Bundle(tensorrt_world["fp32"]).manifest)
    assert made.record == {"input": ((1, 2, 32, 17, 1),)}
    assert made.open_inputs == ()
    assert made.words == ()


@pytest.mark.parametrize("text", ["batch=2:4:6", "N=2:4:6", " Batch = 2:4:6", "2:4:6"])
def test_a_profile_is_written_by_name_letter_or_alone(manifest: Manifest, text: str) -> None:
    assert _profile(manifest, profile=text).ranges["N"] == (2, 4, 6)


def test_max_batch_cuts_the_range(manifest: Manifest) -> None:
    assert _profile(manifest, max_batch=4).ranges["N"] == (1, 1, 4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"profile": "batch=1:4:9"}, "1 to 9 goes beyond 1 to 8"),
        ({"profile": "batch=0:4:8"}, "at least 1"),
        ({"profile": "batch=4:1:8"}, "must not fall"),
        ({"profile": "batch=1:8"}, "is no range"),
        ({"profile": "batch=a:b:c"}, "is no range"),
        ({"profile": "frames=50:100:150"}, "frames is fixed in this bundle"),
        ({"profile": "batches=1:2:3"}, "did you mean 'batch'"),
        ({"profile": "batch=1:2:3,N=1:2:3"}, "names batch twice"),
        ({"profile": "batch=1:2:3", "max_batch": 4}, "two answers"),
        ({"max_batch": 9}, "1 to 9 goes beyond 1 to 8"),
    ],
)
def test_what_does_not_fit_the_manifest_is_refused(
    manifest: Manifest, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        _profile(manifest, **options)


def test_a_fixed_batch_cannot_be_opened(tensorrt_world: dict[str, Path]) -> None:
    manifest = Bundle(tensorrt_world["fp32"]).manifest
    assert _profile(manifest, max_batch=1).open_inputs == ()
    with pytest.raises(UsageError, match="takes exactly 1 clip"):
        _profile(manifest, max_batch=8)
    with pytest.raises(UsageError, match="it has no open axis"):
        _profile(manifest, profile="1:2:3")


def test_several_axes_and_a_trimmed_input(manifest: Manifest) -> None:
    """A motion stream is a frame shorter; its shape follows the frames of the clip."""
    clip = manifest.clip.model_copy(update={"dynamic": {"N": (1, 8), "T": (20, 40)}})
    record = manifest.inputs[0]
    motion = record.model_copy(update={"name": "motion", "trim": 1})
    both = manifest.model_copy(update={"clip": clip, "inputs": (record, motion)})
    made = _profile(both, profile="frames=20:30:40,batch=1:2:2")
    assert made.shapes["input"] == ((1, 2, 20, 17, 1), (2, 2, 30, 17, 1), (2, 2, 40, 17, 1))
    assert made.shapes["motion"] == ((1, 2, 19, 17, 1), (2, 2, 29, 17, 1), (2, 2, 39, 17, 1))
    assert made.open_inputs == ("input", "motion")
    with pytest.raises(UsageError, match="names no axis, and open are batch, frames"):
        _profile(both, profile="1:2:3")


# ---- precision -----------------------------------------------------------------------------------


def _with_precision(manifest: Manifest, actual: str, target: str | None) -> Manifest:
    record = PrecisionRecord(requested=actual, actual=actual, target=target)
    return manifest.model_copy(update={"precision": record})


def test_auto_is_what_the_graph_has(tensorrt_world: dict[str, Path]) -> None:
    for name, precision in (("fp32", "fp32"), ("fp16", "fp16"), ("int8", "int8")):
        manifest = Bundle(tensorrt_world[name]).manifest
        assert graph_precision(manifest) == requested_of(manifest, "auto") == precision
    assert requested_of(Bundle(tensorrt_world["fp32"]).manifest, "int8") == "int8"


def test_graphs_that_are_not_for_tensorrt_are_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match=r"quantised for onnxruntime.*--for tensorrt"):
        graph_precision(_with_precision(manifest, "int8", "onnxruntime"))
    with pytest.raises(UsageError, match="computes in bf16"):
        graph_precision(_with_precision(manifest, "bf16", None))
    with pytest.raises(UsageError, match="graph is fp16, so no fp32 engine"):
        requested_of(_with_precision(manifest, "fp16", "tensorrt"), "fp32")


def test_the_ladder() -> None:
    assert [one.precision for one in ladder("fp32", "int8")] == ["int8", "fp16", "fp32"]
    assert [one.explicit for one in ladder("fp32", "int8")] == [False, False, True]
    assert [one.flags for one in ladder("fp32", "int8")] == [("FP16", "INT8"), ("FP16",), ()]
    assert [one.calibrate for one in ladder("fp32", "int8")] == [True, False, False]
    (only,) = ladder("int8", "int8", 0.8)
    assert (only.explicit, only.flags, only.calibrate, only.share) == (True, ("INT8",), False, 0.8)


def test_how_much_of_a_graph_is_quantised(tensorrt_world: dict[str, Path]) -> None:
    assert quantised_share(tensorrt_world["fp32"] / "model.onnx") == 0
    # The first graph convolution and the classifier stay float by the recipe.
    assert 0.5 < quantised_share(tensorrt_world["int8"] / "model.onnx") < 1


def test_contexts_share_profiles_where_that_has_to_be_asked_for() -> None:
    """In 8.6; 8.5 has no such feature, and 10 and later always share."""
    asked: list[tuple[str, bool]] = []
    config = SimpleNamespace(set_preview_feature=lambda name, value: asked.append((name, value)))
    preview = SimpleNamespace(PROFILE_SHARING_0806="PROFILE_SHARING_0806")
    for version, features in (("8.5.3", None), ("8.6.1", preview), ("10.3.0", preview)):
        known = {"PreviewFeature": features} if features else {}
        Api(SimpleNamespace(__version__=version, **known)).share_profiles(config)
    assert asked == [("PROFILE_SHARING_0806", True)]
