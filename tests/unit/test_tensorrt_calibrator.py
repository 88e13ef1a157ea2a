"""INT8 ranges come from whole batches of prepared clips; a cache is taken only for what it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorrt_doubles import OPEN, HostDevice, Site, inspection, silent

from stgcn_deploy.builders.tensorrt.calibrator import (
    Batches,
    CacheFile,
    Calibrating,
    Origin,
    needs_data,
    prepare_batches,
)
from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.profiles import profile_of
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, DataError, UsageError
from stgcn_deploy.runtime import load

ORIGIN = Origin("d" * 64, "walks.pkl", "entropy", "b" * 64, "10.3.0", 4, 16)


def _batches(world: dict[str, Path], folder: Path, **changes: Any) -> Batches:
    asked = {"precision": "int8", "calib": world["data"], "calib_samples": 16, **changes}
    options, bundle = TensorRtOptions(**asked), Bundle(world["open"])
    made = prepare_batches(bundle, options, profile_of(bundle.manifest, options), folder)
    assert made is not None
    return made


# ---- batches -------------------------------------------------------------------------------------


def test_batches_are_whole_and_hold_what_predict_sees(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    made = _batches(tensorrt_world, tmp_path, profile="1:3:8", calib_split="train1")
    feeds = list(made.feeds())
    assert [feed["input"].shape for feed in feeds] == [(3, 2, 32, 17, 1)] * 5
    assert made.count == 5  # of 16 clips the last one is dropped
    from stgcn_deploy.data.formats import open_dataset

    first = made.calibration.indices[0]
    with load(tensorrt_world["open"]) as model:
        clip = model.prepare(open_dataset(tensorrt_world["data"])[first])
    expected = made.manifest.feed(clip[None])["input"][0]
    np.testing.assert_array_equal(feeds[0]["input"][0], expected)
    assert feeds[0]["input"].dtype == np.float32


def test_fewer_clips_than_a_batch_are_no_calibration(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    made = _batches(tensorrt_world, tmp_path)
    few = Batches(made.calibration, made.manifest, (17, 1, 32))
    assert (few.count, list(few.feeds())) == (0, [])
    bundle = Bundle(tensorrt_world["open"])
    clip = bundle.manifest.clip.model_copy(update={"dynamic": {"N": (1, 64)}})
    bundle.manifest = bundle.manifest.model_copy(update={"clip": clip})
    options = TensorRtOptions(
        precision="int8", calib=tensorrt_world["data"], calib_samples=16, profile="1:40:64"
    )
    with pytest.raises(DataError, match="gives 16 clips, fewer than one batch of 40"):
        prepare_batches(bundle, options, profile_of(bundle.manifest, options), tmp_path)


def test_other_lengths_and_persons_are_fitted(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    made = _batches(tensorrt_world, tmp_path)
    other = Batches(made.calibration, made.manifest, (2, 2, 20))
    assert next(other.feeds())["input"].shape == (2, 2, 20, 17, 2)


# ---- what TensorRT is answered -------------------------------------------------------------------


def _calibrating(
    world: dict[str, Path], folder: Path, device: Any, cache: Path | None = None
) -> tuple[Calibrating, Messages]:
    messages = Messages()
    batches = _batches(world, folder, profile="1:4:8")
    inner = Calibrating(batches, CacheFile(cache, ORIGIN), lambda: device, messages)
    return inner, messages


def test_pointers_in_the_order_of_the_names_and_memory_allocated_once(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    device = HostDevice()
    inner, _ = _calibrating(tensorrt_world, tmp_path, device)
    given = []
    while (pointers := inner.get_batch(["input"])) is not None:
        given.append(pointers)
    assert given == [[4096]] * 4
    (buffer,) = device.buffers
    assert len(buffer.uploads) == inner.given == 4
    assert not np.array_equal(buffer.uploads[0], buffer.uploads[1])
    assert inner.get_batch(["input"]) is None
    inner.close()
    inner.close()
    assert buffer.freed == 1


def test_an_exception_of_ours_waits_until_tensorrt_has_returned(
    tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    class Full(HostDevice):
        def allocate(self, nbytes: int) -> Any:
            raise BackendError("CUDA's cudaMalloc failed: out of memory (error 2).")

    inner, messages = _calibrating(tensorrt_world, tmp_path, Full())
    assert inner.guarded(inner.get_batch, ["input"]) is None
    assert inner.guarded(inner.read) is None
    with pytest.raises(BackendError, match="out of memory"):
        messages.raise_held()
    inner, messages = _calibrating(tensorrt_world, tmp_path, HostDevice())
    assert inner.guarded(inner.get_batch, ["points"]) is None
    with pytest.raises(UsageError, match="'points', which the manifest lacks"):
        messages.raise_held()


# ---- the cache -----------------------------------------------------------------------------------


def test_a_cache_is_written_once_with_its_origin(tmp_path: Path) -> None:
    cache = CacheFile(tmp_path / "some" / "ranges.cache", ORIGIN)
    assert cache.read() is None
    cache.write(b"ranges")
    assert cache.read() == b"ranges"
    assert json.loads(cache.side_car.read_text())["data_sha256"] == "d" * 64
    cache.write(b"others")
    assert cache.read() == b"ranges"
    nowhere = CacheFile(None, ORIGIN)
    nowhere.write(b"ranges")
    assert nowhere.read() is None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("data_sha256", "e" * 64, "another data sha256"),
        ("method", "minmax", "another method"),
        ("bundle_sha256", "c" * 64, "another bundle sha256"),
        ("tensorrt", "10.4.0", "another tensorrt"),
        ("tensorrt", "8.6.1", "another tensorrt"),
        ("batch", 8, "another batch"),
        ("samples", 300, "another samples"),
    ],
)
def test_a_cache_of_something_else_is_refused(
    field: str, value: object, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "ranges.cache"
    CacheFile(path, Origin(**{**ORIGIN.__dict__, field: value})).write(b"ranges")
    with pytest.raises(UsageError, match=f"was made with {told}.*name another --calib-cache"):
        CacheFile(path, ORIGIN).read()
    assert path.read_bytes() == b"ranges"


@pytest.mark.parametrize("side_car", [None, "", "{}", "[1]", '{"data": 3}'])
def test_a_cache_that_nobody_knows_is_refused(side_car: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ranges.cache"
    path.write_bytes(b"TRT-8601-EntropyCalibration2")
    if side_car is not None:
        (tmp_path / "ranges.cache.json").write_text(side_car)
    with pytest.raises(UsageError, match="nobody knows what these ranges were made of"):
        CacheFile(path, ORIGIN).read()


def test_without_data_the_cache_says_which_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ranges.cache"
    CacheFile(path, ORIGIN).write(b"ranges")
    bare = Origin(**{**ORIGIN.__dict__, "data_sha256": "", "data": "", "samples": 0})
    assert CacheFile(path, bare).read() == b"ranges"
    with pytest.raises(UsageError, match="another bundle sha256"):
        CacheFile(path, Origin(**{**bare.__dict__, "bundle_sha256": "x"})).read()


def test_what_int8_needs(tmp_path: Path) -> None:
    assert needs_data(TensorRtOptions(calib=tmp_path)) is None
    told = needs_data(TensorRtOptions(calib_cache=tmp_path / "none"))
    assert told is not None
    assert "--calib DATA" in told
    (tmp_path / "there").write_bytes(b"x")
    assert needs_data(TensorRtOptions(calib_cache=tmp_path / "there")) is None


# ---- in a build ----------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    return lambda version: Site(version, tmp_path, OPEN)


def _calibrates(here: Site) -> Callable[[], bytes]:
    """A build in which TensorRT asks for batches until there are none, then gives its ranges."""

    def plan() -> bytes:
        (calibrator,) = here.fake.calls("IBuilderConfig.int8_calibrator=")[-1]
        if calibrator.read_calibration_cache() is None:
            while calibrator.get_batch(["input"]) is not None:
                pass
            calibrator.write_calibration_cache(memoryview(b"ranges of tensorrt"))
        return b"plan"

    return plan


@pytest.mark.shared
@pytest.mark.parametrize("method", ["entropy", "minmax"])
@pytest.mark.parametrize("version", ["8.5", "8.6", "10.16"])
def test_a_calibrated_build(
    version: str,
    method: str,
    site: Callable[..., Site],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    here, cache = site(version), tmp_path / "ranges.cache"
    here.fake.plans = [_calibrates(here)]
    here.fake.inspections = [inspection({"int8": 9}, dynamic=True)]
    asked: dict[str, Any] = {
        "precision": "int8", "calib": tensorrt_world["data"], "calib_samples": 18,
        "calib_method": method, "calib_cache": cache, "profile": "1:4:8",
    }  # fmt: skip
    record = here.build(tensorrt_world["open"], **asked)
    assert (record.file, f"calibrated by {method}" in record.command) == ("model_int8.engine", True)
    (buffer,) = here.device.buffers
    assert (len(buffer.uploads), buffer.freed) == (4, 1)
    assert cache.read_bytes() == b"ranges of tensorrt"
    assert json.loads((tmp_path / "ranges.cache.json").read_text())["samples"] == 16
    profiles = here.fake.calls("IBuilderConfig.set_calibration_profile")
    assert len(profiles) == (1 if version.startswith("8") else 0)
    # The second time nothing is uploaded, and the recordings need not be there.
    again = here.build(tensorrt_world["open"], **asked | {"calib": None})
    assert again.actual == "int8"
    assert len(here.device.buffers) == 1
    # Other clips are refused before TensorRT is asked to build.
    built = len(here.fake.calls("Builder.build_serialized_network"))
    with pytest.raises(UsageError, match="was made with another data sha256"):
        here.build(tensorrt_world["open"], **asked | {"calib_samples": 20})
    assert len(here.fake.calls("Builder.build_serialized_network")) == built


@pytest.mark.shared
def test_memory_that_is_not_there_ends_the_build_as_such(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("8.6")

    def full(_: int) -> Any:
        raise BackendError("CUDA's cudaMalloc failed: out of memory (error 2).")

    here.device.allocate = full  # type: ignore[method-assign]
    here.fake.plans = [_calibrates(here)]
    options = here.builder.options(
        precision="int8", calib=tensorrt_world["data"], calib_samples=16, allow_fallback=True
    )
    with pytest.raises(BackendError, match="out of memory"):
        here.builder.build(Bundle(tensorrt_world["open"]), options, here.folder, silent)
    assert list(here.folder.glob("*.engine")) == []
