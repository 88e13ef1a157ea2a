"""INT8 ranges the older way (TensorRT 8.5 to 10): TensorRT runs the network on clips and watches.

The clips are recordings through the bundle's own preprocessing, the ones that `stgcn quantize` would take.
Ranges are kept in a cache file, with a side-car FILE.json that says what they were made of: TensorRT itself
would take any file for any network.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.builders.tensorrt.api import Api, version_of
from stgcn_deploy.builders.tensorrt.device import Device, DeviceBuffer
from stgcn_deploy.builders.tensorrt.log import Messages
from stgcn_deploy.builders.tensorrt.options import TensorRtOptions
from stgcn_deploy.builders.tensorrt.profiles import Profile
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import DataError, UsageError
from stgcn_deploy.files import fresh_file, write_text
from stgcn_deploy.manifest import MODEL, Manifest
from stgcn_deploy.precision.calibration import Calibration, from_data
from stgcn_deploy.runtime import load
from stgcn_deploy.skeleton.windows import fit_frames, pad_persons

__all__ = [
    "Batches",
    "CacheFile",
    "Calibrating",
    "Origin",
    "cache_of",
    "make_calibrator",
    "needs_data",
    "prepare_batches",
]

AGAIN = "remove it (and its .json), or name another --calib-cache"


def needs_data(options: TensorRtOptions) -> str | None:
    """What is missing for INT8 by TensorRT's own means; None where nothing is."""
    if options.calib is not None or (options.calib_cache and options.calib_cache.is_file()):
        return None
    return (
        "INT8 of an FP32 bundle takes ranges from recordings: give --calib DATA, or a --calib-cache that "
        "is there. Better, because its accuracy is measured: stgcn quantize BUNDLE --to int8 --for tensorrt"
    )


@dataclass(frozen=True)
class Origin:
    """What a calibration cache was made of: the side-car.

    Attributes:
        data_sha256: of the clips as the network saw them; data: name of the file.
        method: entropy or minmax.
        bundle_sha256: of the graph.
        tensorrt: version.
        batch: clips in one batch; samples: clips in all.
    """

    data_sha256: str
    data: str
    method: str
    bundle_sha256: str
    tensorrt: str
    batch: int
    samples: int


@dataclass(frozen=True)
class Batches:
    """Calibration batches, each of exactly the profile's usual batch; a partial last one is dropped.

    Attributes:
        sizes: N, M and T of a batch.
    """

    calibration: Calibration
    manifest: Manifest
    sizes: tuple[int, int, int]

    @property
    def count(self) -> int:
        """How many."""
        return self.calibration.count // self.sizes[0]

    def feeds(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Inputs by name, in native axes."""
        size, persons, frames = self.sizes
        for start in range(0, self.count * size, size):
            clips = [self._fitted(number, persons, frames) for number in range(start, start + size)]
            yield self.manifest.feed(np.stack(clips))

    def _fitted(self, number: int, persons: int, frames: int) -> NDArray[np.float32]:
        clip = fit_frames(self.calibration.clip(number), (frames, frames), "resample")
        fitted: NDArray[np.float32] = pad_persons(clip[:persons], persons)
        return fitted


def prepare_batches(
    bundle: Bundle, options: TensorRtOptions, profile: Profile, scratch: Path
) -> Batches | None:
    """Clips for calibration; None where only a cache is given.

    Raises:
        UsageError, ClipError, DataError: see precision.calibration.from_data.
        DataError: fewer clips than one batch.
    """
    if options.calib is None:
        return None
    with load(bundle.path) as model:
        found = from_data(
            model,
            open_dataset(options.calib),
            options.calib_split,
            options.calib_samples,
            0,
            Path(tempfile.mkdtemp(prefix="calibration.", dir=scratch)) / "clips",
        )
    sizes = (profile.ranges["N"][1], profile.ranges["M"][1], profile.ranges["T"][1])
    batches = Batches(found, bundle.manifest, sizes)
    if not batches.count:
        raise DataError(
            f"{options.calib} gives {found.count} clips, fewer than one batch of {sizes[0]}; give more, or "
            "a smaller usual batch with --profile."
        )
    return batches


class CacheFile:
    """A calibration cache and its side-car.

    Args:
        path: the cache; None keeps nothing.
        origin: what it has to be made of; `data_sha256` empty where no data was given.
    """

    def __init__(self, path: Path | None, origin: Origin) -> None:
        self.path = path
        self.origin = origin

    @property
    def side_car(self) -> Path:
        """FILE.json."""
        assert self.path is not None
        return self.path.with_name(self.path.name + ".json")

    def read(self) -> bytes | None:
        """The cache, if it is there and was made of the same, by a version with the same first two numbers.

        Raises:
            UsageError: it was made of something else, or nobody knows of what.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            found = json.loads(self.side_car.read_text(encoding="utf-8"))
            made_of = Origin(**found)
            version_of(made_of.tensorrt)
        except (OSError, ValueError, TypeError):
            raise UsageError(
                f"{self.path} has no readable side-car {self.side_car.name}, so nobody knows what these "
                f"ranges were made of; {AGAIN}."
            ) from None
        ours = () if self.origin.data_sha256 else ("data_sha256", "samples")
        for field, value in asdict(self.origin).items():
            have = getattr(made_of, field)
            same = have == value or (field == "tensorrt" and version_of(have) == version_of(value))
            if field not in ("data", *ours) and not same:
                raise UsageError(
                    f"{self.path} was made with another {field.replace('_', ' ')} ({have}, now {value}); "
                    f"its ranges do not belong to this build: {AGAIN}."
                )
        return self.path.read_bytes()

    def write(self, cache: bytes) -> None:
        """Keep new ranges; nothing that is there is replaced."""
        if self.path is None or self.path.exists():
            return
        with fresh_file(self.path) as partial:
            partial.write_bytes(cache)
        write_text(self.side_car, json.dumps(asdict(self.origin), indent=1) + "\n", force=True)


def cache_of(
    api_version: str,
    bundle: Bundle,
    options: TensorRtOptions,
    profile: Profile,
    batches: Batches | None,
) -> CacheFile:
    """The cache file that an options object names, with what it must be made of."""
    clips = batches.calibration if batches else None
    origin = Origin(
        data_sha256=clips.sha256 if clips else "",
        data=clips.data if clips else "",
        method=options.calib_method,
        bundle_sha256=bundle.manifest.files[MODEL].sha256,
        tensorrt=api_version,
        batch=profile.ranges["N"][1],
        samples=batches.count * batches.sizes[0] if batches else 0,
    )
    return CacheFile(options.calib_cache, origin)


class Calibrating:
    """What a calibrator answers TensorRT; buffers are allocated once and given back by `close`."""

    def __init__(
        self,
        batches: Batches | None,
        cache: CacheFile,
        device: Callable[[], Device],
        messages: Messages,
    ) -> None:
        self._feeds = batches.feeds() if batches else iter(())
        self.size = cache.origin.batch
        self._cache = cache
        self._device = device
        self._messages = messages
        self._buffers: dict[str, DeviceBuffer] = {}
        self.given = 0

    def get_batch(self, names: Sequence[str]) -> list[int] | None:
        """Addresses of the next batch's inputs, in the order of `names`; None behind the last."""
        feed = next(self._feeds, None)
        if feed is None:
            return None
        if absent := [name for name in names if name not in feed]:
            raise UsageError(f"TensorRT asks for input {absent[0]!r}, which the manifest lacks.")
        for name in names:
            array = feed[name]
            if name not in self._buffers:
                self._buffers[name] = self._device().allocate(array.nbytes)
            self._buffers[name].upload(array)
        self.given += 1
        return [self._buffers[name].pointer for name in names]

    def read(self) -> bytes | None:
        """The cache."""
        return self._cache.read()

    def write(self, cache: Any) -> None:
        """Keep the cache that TensorRT made."""
        self._cache.write(bytes(cache))

    def guarded(self, function: Any, *arguments: Any) -> Any:
        """Call ours for TensorRT; what it raises is held until TensorRT has returned."""
        if self._messages.broken is not None:
            return None
        try:
            return function(*arguments)
        except BaseException as error:  # also Ctrl-C: it must not pass through TensorRT's frames
            self._messages.hold(error)
            return None

    def close(self) -> None:
        """Give the buffers back."""
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers.clear()


def make_calibrator(api: Api, method: str, inner: Calibrating) -> Any:
    """A calibrator of TensorRT's own class; it has to live as long as the build.

    Raises:
        UsageError: this version has none.
    """
    base = api.calibrator(method)

    class Calibrator(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)

        def get_batch_size(self) -> int:
            return inner.size

        def get_batch(self, names: Sequence[str]) -> list[int] | None:
            found: list[int] | None = inner.guarded(inner.get_batch, list(names))
            return found

        def read_calibration_cache(self) -> bytes | None:
            found: bytes | None = inner.guarded(inner.read)
            return found

        def write_calibration_cache(self, cache: Any) -> None:
            inner.guarded(inner.write, cache)

    return Calibrator()
