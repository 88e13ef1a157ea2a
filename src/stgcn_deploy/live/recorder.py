"""An annotated video of one camera, written beside everything else: encoding never stalls the pipeline."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import OutputExistsError, UsageError, requires
from stgcn_deploy.live.frames import Frame, Tracked
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.overlay import INSTALL, annotate, plain
from stgcn_deploy.live.settings import VideoSettings

__all__ = ["Recorded", "Recorder"]

Image = NDArray[np.uint8]
# A frame in full HD has 6 MB: so many of them may wait.
PENDING = 8
# A camera that is away longer is not shown standing still all the time, seconds.
HOLD = 2.0
# A video that is cut off lacks at most so much of its end, seconds.
_KEY_EVERY = 2.0


@dataclass(frozen=True)
class Recorded:
    """What became of a recording.

    Attributes:
        path: the video; None where there is none, for want of frames or by an error.
        frames: in it, those that were repeated included.
        dropped: pictures that came faster than they could be written.
        skipped: pictures that the video's frame rate leaves out, or that nothing can be drawn on.
        cut: seconds in which nothing came, and which the video leaves out.
        error: why it is not whole; "" where it is.
    """

    path: Path | None
    frames: int
    seconds: float
    dropped: int
    skipped: int
    cut: float
    error: str = ""

    def __str__(self) -> str:
        """For people, in one line."""
        if self.error:
            return self.error
        if self.path is None:
            return "no frame came, so no video was written"
        parts = [f"{self.path}: {self.frames} frames, {self.seconds:.1f} s"]
        if self.dropped:
            parts.append(f"{self.dropped} dropped, for they came faster than they could be written")
        if self.cut:
            parts.append(f"{self.cut:.1f} s without frames left out")
        return "; ".join(parts)


class Recorder(Observer):
    """Draws the people of one camera into its frames and writes them to an MP4 file.

    Written to PATH.part, which plays even when the program is killed, and renamed by `close`.  Frames come
    when they come; the video has a constant frame rate, so that some are repeated, and some are left out.

    Args:
        caption: (camera, track) -> what stands above the person; called by the pipeline's threads.
        say: told at once, by the writer's thread, when the video breaks off.
        every: wait for the writer rather than drop frames: for files, which wait as well.
        force: replace the file, and what an earlier run left of it.

    Raises:
        OutputExistsError: the file is there.
        UsageError: its folder is not.
        MissingDependencyError: PyAV or OpenCV is not installed.
    """

    def __init__(
        self,
        camera: str,
        path: Path,
        settings: VideoSettings,
        *,
        edges: Sequence[tuple[int, int]],
        sides: Sequence[int] = (),
        caption: Callable[[str, int], str] = lambda camera, track: "",  # noqa: ARG005
        say: Callable[[str], None] = lambda text: None,  # noqa: ARG005
        every: bool = False,
        force: bool = False,
    ) -> None:
        with requires("writing annotated videos", INSTALL):
            import av  # noqa: F401
            import cv2  # noqa: F401
        self._part = _fresh_part(path, force=force)
        self._camera, self._path, self._force = camera, path, force
        self._settings, self._edges, self._sides = settings, tuple(edges), tuple(sides)
        self._caption, self._say, self._every = caption, say, every
        self._queue: queue.Queue[_Moment | None] = queue.Queue(PENDING)
        self._dropped = 0
        self._skipped = 0
        self._error = ""
        self._film: _Film | None = None
        # Nothing is put behind the end.
        self._taking, self._closed = threading.Lock(), False
        self._thread = threading.Thread(
            target=self._write_all, name=f"recorder {camera}", daemon=True
        )
        self._thread.start()

    def people(self, frame: Frame, people: Sequence[Tracked], done: float) -> None:
        """Take a frame, if it is of the camera; returns at once, or with `every` when there is room."""
        if frame.camera != self._camera:
            return
        if frame.image is None and frame.size is None:
            self._skipped += 1
            return
        captions = {one.track: self._caption(self._camera, one.track) for one in people}
        with self._taking:
            if not self._closed:
                self._put(_Moment(frame, tuple(people), captions))

    def _put(self, moment: _Moment) -> None:
        while True:
            try:
                self._queue.put(moment, block=self._every)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
                    self._dropped += 1
            else:
                return

    def close(self, timeout: float = 5.0) -> Recorded:
        """Write what waits, finish the file and give it its name; more than once is no error."""
        with self._taking:
            first, self._closed = not self._closed, True
        if first:
            # The writer reads on even after an error, so there is room sooner or later.
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout)
        self._thread.join(timeout)
        if self._thread.is_alive():
            return self._report(
                None, f"{self._path}: not written in {timeout:g} s; see {self._part}."
            )
        return self._report(self._path if self._film and not self._error else None, self._error)

    def _report(self, path: Path | None, error: str) -> Recorded:
        film = self._film
        frames, skipped = (film.frames, film.skipped) if film else (0, 0)
        return Recorded(
            path=path,
            frames=frames,
            seconds=frames / self._settings.fps,
            dropped=self._dropped,
            skipped=self._skipped + skipped,
            cut=film.cut if film else 0.0,
            error=error,
        )

    # ---- the writer's thread ---------------------------------------------------------------

    def _write_all(self) -> None:
        while (moment := self._queue.get()) is not None:
            if self._error:
                self._dropped += 1
                continue
            try:
                self._write(moment)
            except Exception as error:
                self._fail(error)
        try:
            if self._film is None:
                self._part.unlink(missing_ok=True)
            else:
                self._film.close()
                self._finish()
        except Exception as error:
            self._fail(error)

    def _write(self, moment: _Moment) -> None:
        image = moment.picture()
        if self._film is None:
            self._film = _Film(self._part, image.shape[1], image.shape[0], self._settings)
        drawn = annotate(
            image, moment.people, edges=self._edges, captions=moment.captions, sides=self._sides
        )
        self._film.add(drawn, moment.frame.t)

    def _fail(self, error: Exception) -> None:
        if not self._error:
            self._error = f"{self._path}: the video broke off: {error}."
            self._say(self._error)

    def _finish(self) -> None:
        if self._error:
            return
        if self._path.exists() and not self._force:
            self._error = f"{self._path} was made meanwhile; this video is {self._part}."
            return
        self._part.replace(self._path)


@dataclass(frozen=True)
class _Moment:
    frame: Frame
    people: tuple[Tracked, ...]
    captions: dict[int, str]

    def picture(self) -> Image:
        if self.frame.image is not None:
            return self.frame.image
        assert self.frame.size is not None
        return plain(self.frame.size)


class _Film:
    """A video of constant frame rate and size, from pictures that come when they come.

    Attributes:
        frames: written; skipped: pictures left out; cut: seconds left out.
    """

    def __init__(self, path: Path, width: int, height: int, settings: VideoSettings) -> None:
        import av

        self.frames = self.skipped = 0
        self.cut = 0.0
        self._fps = settings.fps
        scale = min(1.0, settings.height / height)
        # The encoders want even numbers.
        width, height = (max(2, int(side * scale) // 2 * 2) for side in (width, height))
        self._size = width, height
        self._start: float | None = None
        self._last: Any = None
        # In fragments: what is written is whole up to the last key frame, whenever it is cut off.
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._file: Any = av.open(str(path), "w", format="mp4", options=flags)
        rate = Fraction(settings.fps).limit_denominator(1001)
        codec, options = _codec(settings.crf)
        self._stream: Any = self._file.add_stream(codec, rate=rate, options=options)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        # The stream's own changes to the file's when the first frame is written.
        self._tick = 1 / rate
        self._stream.time_base = self._tick
        context = self._stream.codec_context
        context.gop_size = max(1, round(_KEY_EVERY * settings.fps))
        # One thread: cameras are written side by side, and the network wants the other cores.
        context.thread_count = 1
        if codec != "libx264":
            pixels = self._size[0] * self._size[1] * settings.fps
            context.bit_rate = round(pixels * 0.2 * 2 ** ((28 - settings.crf) / 6)) + 1000

    def add(self, image: Image, t: float) -> None:
        """Show a picture from `t` on."""
        import av
        import cv2

        if self._start is None:
            self._start = t
        index = round((t - self._start) * self._fps)
        gap = index - self.frames
        hold = round(HOLD * self._fps)
        if index < self.frames:
            self.skipped += 1
            return
        if gap > hold:
            self.cut += (gap - hold) / self._fps
            self._start += (gap - hold) / self._fps
            gap = hold
        for _ in range(gap):
            self._encode(self._last)
        planes = cv2.cvtColor(_fitted(image, self._size), cv2.COLOR_RGB2YUV_I420)
        self._last = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._encode(self._last)

    def _encode(self, frame: Any) -> None:
        if frame is not None:
            frame.pts, frame.time_base = self.frames, self._tick
            self.frames += 1
        for packet in self._stream.encode(frame):
            self._file.mux(packet)

    def close(self) -> None:
        """Write what the encoder holds back."""
        try:
            self._encode(None)
        finally:
            self._file.close()


def _codec(crf: int) -> tuple[str, dict[str, str]]:
    import av

    if "libx264" in av.codecs_available:
        # Without frames that wait for later ones: in fragments they would shift the beginning.
        return "libx264", {"crf": str(crf), "preset": "veryfast", "bf": "0"}
    return "mpeg4", {}


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture in the size of the video: whole, between black bars where its shape is another."""
    import cv2

    width, height = size
    if image.shape[0] - height in (0, 1) and image.shape[1] - width in (0, 1):
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    # Areas are right, and slow; down to a half nobody sees the difference.
    way = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    out = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    out[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=way)
    return out


def _fresh_part(path: Path, *, force: bool) -> Path:
    part = path.with_name(path.name + ".part")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory; name a file.")
    for one, what in ((path, "exists"), (part, "is left from a run that was cut off")):
        if one.exists() and not force:
            raise OutputExistsError(f"{one} {what}; move it away, or name another file.")
    return part
