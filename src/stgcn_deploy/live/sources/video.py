"""Images from whatever FFmpeg can read: what files, streams and webcams have in common."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Any

import numpy as np

from stgcn_deploy.errors import StgcnError, requires
from stgcn_deploy.live.frames import Image, Reading
from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.failures import failure

__all__ = ["LIVE_EXTRA", "Decoder", "VideoSource", "always"]

LIVE_EXTRA = 'pip install "stgcn-deploy[live]"'
# People are found in much smaller images; reducing a large one while it is converted costs nothing.
LONGEST_SIDE = 1280
# A header of a few bytes can ask for a picture that fills the memory.
MAX_SIDE = 8192
# Damaged ones in a row; a stream that lost its key frame is whole again much sooner.
MAX_CORRUPT = 50


def always(pts: float | None) -> bool:  # noqa: ARG001
    """Every frame is wanted."""
    return True


class Decoder:
    """One FFmpeg input, for one thread.

    Attributes:
        fps: frames a second, where it says.
        spent: seconds of the last `read` that were work, not waiting.

    Args:
        name: for messages, without secrets.
        address: for FFmpeg.
        form: FFmpeg's name of the container or device; None: found out.
        options: FFmpeg's.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        form: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        with requires("reading video", LIVE_EXTRA):
            import av
            from av.video.reformatter import VideoReformatter
        self.name = name
        self._av = av
        self._container = av.open(address, format=form, options=dict(options or {}))
        self._ready: deque[Any] = deque()
        self._corrupt = 0
        self.spent = 0.0
        try:
            self._stream = self._choose()
        except BaseException:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else None
        self._packets = self._container.demux(self._stream)
        self._reformatter: Any = VideoReformatter()

    def _choose(self) -> Any:
        """The video stream to decode."""
        if not self._container.streams.video:
            raise SourceError(
                f"{self.name}: there is no video in it; expected a video or an image.",
                "unreadable",
                lasting=True,
            )
        stream = self._container.streams.video[0]
        codec = stream.codec_context
        codec.options = {**codec.options, "max_pixels": str(MAX_SIDE * MAX_SIDE)}
        self._check_size(codec.width, codec.height)
        return stream

    def read(self, wanted: Callable[[float | None], bool]) -> Reading | None:
        """The next frame, None at the end.

        Raises:
            SourceError: too much of it is damaged, or too large.
            Exception: PyAV's own.
        """
        self.spent = 0.0
        while not self._ready:
            try:
                packet = next(self._packets)
            except StopIteration:
                return None
            except self._av.error.InvalidDataError:
                self._packets = self._container.demux(self._stream)
                return self._damaged(None)
            start = time.perf_counter()
            try:
                self._ready.extend(packet.decode())
            except self._av.error.EOFError:
                return None
            except (self._av.error.InvalidDataError, self._av.error.PatchWelcomeError):
                return self._damaged(None)
            finally:
                self.spent += time.perf_counter() - start
        start = time.perf_counter()
        try:
            return self._reading(self._ready.popleft(), wanted)
        finally:
            self.spent += time.perf_counter() - start

    def close(self) -> None:
        """Release it; only where no other thread is inside `read`."""
        self._ready.clear()
        self._container.close()
        # Codec and scaler hold threads of their own until the last reference to them goes, and a generator
        # that was not read to its end keeps them in a cycle.
        self._packets = iter(())
        self._stream = self._reformatter = None

    def _reading(self, frame: Any, wanted: Callable[[float | None], bool]) -> Reading:
        pts = frame.time
        if frame.is_corrupt:
            return self._damaged(pts)
        self._check_size(frame.width, frame.height)
        self._corrupt = 0
        size = _reduced(frame.width, frame.height)
        if not wanted(pts):
            return Reading(pts, size=size)
        try:
            plain: Any = self._reformatter.reformat(
                frame, width=size[0], height=size[1], format="rgb24", interpolation="AREA"
            )
            image: Image = plain.to_ndarray()
        except (self._av.error.FFmpegError, ValueError):
            return self._damaged(pts)
        turned = _upright(image, getattr(frame, "rotation", 0))
        return Reading(pts, image=turned, size=(turned.shape[1], turned.shape[0]))

    def _damaged(self, pts: float | None) -> Reading:
        self._corrupt += 1
        if self._corrupt >= MAX_CORRUPT:
            raise SourceError(
                f"{self.name}: {self._corrupt} damaged frames in a row; is the connection good enough, "
                "and is it video at all?",
                "broken",
            )
        return Reading(pts, corrupt=True)

    def _check_size(self, width: int, height: int) -> None:
        if max(width, height) > MAX_SIDE:
            raise SourceError(
                f"{self.name}: an image of {width}x{height}; at most {MAX_SIDE} pixels a side are read.",
                "unreadable",
                lasting=True,
            )


def _reduced(width: int, height: int) -> tuple[int, int]:
    """The size with its long side at most LONGEST_SIDE, in the same proportion."""
    longest = max(width, height)
    if longest <= LONGEST_SIDE:
        return width, height
    scale = LONGEST_SIDE / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def _upright(image: Image, degrees: float) -> Image:
    """The image as a player would show it: phones store it as the sensor lies, and say how to turn it."""
    quarter = round(degrees / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter)) if quarter else image


class VideoSource:
    """A source of images: opened and read by one thread, closed by any; used once.

    Subclasses say in `_decoders` what is decoded, one after the other.

    Args:
        timeout: of FFmpeg's waits: an error after so long is a time-out, whatever FFmpeg calls it.

    Attributes:
        wanted: asked with the pts of each frame before it is converted, which is the dear part; one that
            is not wanted gives a Reading without an image.
        spent: seconds of the last `read` that were work, not waiting.
    """

    layout: str | None = None
    channels: str | None = None
    raw = True

    def __init__(self, name: str, *, live: bool, timeout: float | None = None) -> None:
        self.name = name
        self._timeout = timeout
        self.live = live
        self.fps: float | None = None
        self.wanted: Callable[[float | None], bool] = always
        self._closed = Event()
        # Held by the thread that is inside FFmpeg: nobody may pull the container away from under it.
        self._busy = Lock()
        self.spent = 0.0
        self._decoder: Decoder | None = None
        self._all: Iterator[Decoder] | None = None

    def open(self) -> None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        with self._busy, self._errors():
            self._all = self._decoders()
            self._decoder = next(self._all, None)
            if self._decoder is None:
                raise SourceError(f"{self.name}: nothing to read.", "unreadable")
            self.fps = self._decoder.fps
        self._release_closed()

    def read(self) -> Reading | None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        with self._busy, self._errors():
            reading = self._next()
        self._release_closed()
        return reading

    def close(self) -> None:
        """See Source."""
        self._closed.set()
        self._interrupt()
        self._release()

    def _decoders(self) -> Iterator[Decoder]:
        raise NotImplementedError

    def _next(self) -> Reading | None:
        """The next reading of the decoder at hand, or of the one after it."""
        while self._decoder is not None and self._all is not None:
            reading = self._read_one(self._decoder)
            self.spent = self._decoder.spent
            if reading is not None:
                return reading
            self._decoder.close()
            self._decoder = None
            self._decoder = next(self._all, None)
        return None

    def _read_one(self, decoder: Decoder) -> Reading | None:
        """One reading of a decoder, None at its end."""
        return decoder.read(self.wanted)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Make what PyAV raises inside the block ours."""
        self._refuse_closed()
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            self._refuse_closed()
            if isinstance(error, StgcnError):
                raise
            waited = time.monotonic() - start
            timed_out = self._timeout is not None and waited >= 0.9 * self._timeout
            raise failure(self.name, error, timed_out=timed_out) from error

    def _interrupt(self) -> None:
        """Make a thread that is inside FFmpeg come back soon; where there is a way."""

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise SourceError(f"{self.name}: closed.", "ended")

    def _release_closed(self) -> None:
        """Release what `close` could not, since this thread was using it."""
        if self._closed.is_set():
            self._release()
            self._refuse_closed()

    def _release(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                decoder, self._decoder = self._decoder, None
                if decoder is not None:
                    with suppress(Exception):
                        decoder.close()
            finally:
                self._busy.release()
