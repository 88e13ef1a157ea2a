"""Cameras of this machine: by FFmpeg's V4L2, else by OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from stgcn_deploy.errors import requires
from stgcn_deploy.live.frames import Image, Reading
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.video import LIVE_EXTRA, Decoder, VideoSource

__all__ = ["OpenCvCamera", "Webcam"]

# Some builds of FFmpeg have no V4L2, and other systems than Linux have none at all.
_NO_V4L2 = ("DemuxerNotFoundError", "ValueError")


class Webcam(VideoSource):
    """A camera at /dev/videoN."""

    def __init__(self, settings: CameraSettings) -> None:
        number = settings.source
        self._device = f"/dev/video{number}" if number.isdigit() else number
        super().__init__(self._device, live=True)

    def _decoders(self) -> Iterator[Decoder]:
        yield self._open_one()

    def _open_one(self) -> Decoder:
        try:
            return Decoder(self.name, self._device, form="v4l2")
        except Exception as error:
            if type(error).__name__ not in _NO_V4L2:
                raise
            return OpenCvCamera(self.name, self._device)

    def _read_one(self, decoder: Decoder) -> Reading:
        reading = super()._read_one(decoder)
        if reading is None:
            raise SourceError(f"{self.name}: the device stopped; is it still plugged in?", "ended")
        return reading


class OpenCvCamera(Decoder):
    """A camera by OpenCV: no times, and damage does not show."""

    def __init__(self, name: str, device: str) -> None:
        with requires("reading a webcam", LIVE_EXTRA):
            import cv2
        number = device.removeprefix("/dev/video")
        self.name = name
        self.spent = 0.0
        self._camera: Any = cv2.VideoCapture(int(number) if number.isdigit() else device)
        if not self._camera.isOpened():
            self._camera.release()
            raise SourceError(
                f"{name}: no camera there that OpenCV can open; see `ls /dev/video*`.",
                "not found",
                lasting=True,
            )
        rate = float(self._camera.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate <= 1000 else None

    def read(self, wanted: Callable[[float | None], bool]) -> Reading | None:
        """The next frame; a failed read is the end."""
        ok, picture = self._camera.read()
        if not ok or picture is None or picture.size == 0:
            return None
        height, width = picture.shape[:2]
        if not wanted(None):
            return Reading(None, size=(width, height))
        image: Image = np.ascontiguousarray(picture[:, :, ::-1])
        return Reading(None, image=image, size=(width, height))

    def close(self) -> None:
        """See Decoder."""
        with suppress(Exception):
            self._camera.release()
