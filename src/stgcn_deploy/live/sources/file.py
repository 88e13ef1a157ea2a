"""Video files and folders of them: every frame, or as if they were a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.pacing import Pace
from stgcn_deploy.live.sources.video import Decoder, VideoSource

__all__ = ["IMAGES", "VIDEOS", "VideoFile", "VideoFolder"]

IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset(
    {".avi", ".flv", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts",
     ".webm", ".wmv"}
)  # fmt: skip
# Single images have no times: as so many a second.
IMAGE_FPS = 25.0


class VideoFile(VideoSource):
    """One video file; times go on where it begins again."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings.source, live=settings.realtime)
        self._loop = settings.loop
        self._pace = Pace(self._closed) if settings.realtime else None
        self._path = Path(settings.source)
        # Where the times of the file at hand begin in those of the source, and how much of it was read.
        self._base = 0.0
        self._last = 0.0
        self._first: float | None = None
        self._image = False
        self._read = 0

    def read(self) -> Reading | None:
        """See Source.

        Raises:
            SourceError: see Source.
        """
        reading = super().read()
        if reading is not None and self._pace is not None and reading.pts is not None:
            self._pace.wait(reading.pts)
            self._release_closed()
        return reading

    def _files(self) -> list[Path]:
        return [self._path]

    def _decoders(self) -> Iterator[Decoder]:
        while True:
            read = 0
            for path in self._files():
                yield self._open_one(path)
                self._base = self._last + self._interval()
                read += self._read
            if not self._loop:
                return
            if not read:
                raise SourceError(
                    f"{self.name}: no frame in it; nothing to begin again.", "unreadable"
                )

    def _open_one(self, path: Path) -> Decoder:
        # The full path, so that no name of a file is taken for one of FFmpeg's protocols.
        options = {"protocol_whitelist": "file,crypto,data"}
        self._image = path.suffix.lower() in IMAGES
        if self._image:
            # Else a % in the name would be a pattern of many files.
            options["pattern_type"] = "none"
        self._first, self._read = None, 0
        self.name = str(path)
        decoder = Decoder(self.name, str(path.resolve()), options=options)
        self.fps = IMAGE_FPS if self._image else decoder.fps
        return decoder

    def _interval(self) -> float:
        return 1.0 / (self.fps or IMAGE_FPS)

    def _read_one(self, decoder: Decoder) -> Reading | None:
        wanted = self.wanted
        reading = decoder.read(lambda pts: wanted(self._place(pts)))
        if reading is None:
            return None
        pts = self._place(reading.pts)
        self._read += 1
        self._last = max(self._last, pts)
        return Reading(pts, reading.image, None, reading.size, reading.corrupt)

    def _place(self, pts: float | None) -> float:
        """Time in the source of a time in the file at hand."""
        if pts is None or self._image:
            return self._last + self._interval() if self._read else self._base
        if self._first is None:
            self._first = pts
        return self._base + pts - self._first


class VideoFolder(VideoFile):
    """The images and videos of a folder, in the order of their names, one after the other."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        self._paths = sorted(
            path
            for path in self._path.iterdir()
            if path.is_file() and path.suffix.lower() in IMAGES | VIDEOS
        )
        if not self._paths:
            raise UsageError(
                f"{settings.source}: a folder without images or videos; "
                f"expected some of {', '.join(sorted(IMAGES | VIDEOS))}."
            )

    def _files(self) -> list[Path]:
        return self._paths
