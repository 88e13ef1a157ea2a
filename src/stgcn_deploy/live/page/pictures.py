"""Images for the browser: small, with the people drawn in, made only while somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stgcn_deploy.errors import requires
from stgcn_deploy.live.board import Board, Doing
from stgcn_deploy.live.frames import Frame, Image, Tracked

if TYPE_CHECKING:
    from asyncio import TimerHandle

__all__ = ["Annotate", "Picture", "Pictures", "caption"]

# annotate(image, people, *, edges, captions) -> image
Annotate = Callable[..., Image]
# Identity of a frame, and its JPEG.
Picture = tuple[tuple[float, int], bytes]

WIDTH = 640
QUALITY = 80
# Whoever asks for single images keeps a camera watched for so long after each.
LEASE_SECONDS = 3.0


def caption(doing: Doing) -> str:
    """What somebody does as a person reads it (walk 93%); empty where nothing can be told."""
    return "" if doing is None else f"{doing[0]} {doing[1]:.0%}"


def scaled(people: Sequence[Tracked], factor: float) -> tuple[Tracked, ...]:
    """The same people in an image of another size."""
    if factor == 1.0:
        return tuple(people)
    found = []
    for one in people:
        points = one.detection.keypoints.copy()
        points[:, :2] *= np.float32(factor)
        box = one.detection.box
        if box is not None:
            box = (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)
        found.append(replace(one, detection=replace(one.detection, keypoints=points, box=box)))
    return tuple(found)


class Pictures:
    """The newest JPEG of each camera that is watched; each frame is drawn once, for all who look.

    One thread draws: however many look, no more than one core is taken from the pipeline.
    """

    def __init__(self, board: Board, *, annotate: Annotate | None = None) -> None:
        self._board = board
        self._annotate = annotate
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="stgcn-page-pictures")
        self._drawn: dict[str, Picture] = {}
        self._leases: dict[str, tuple[TimerHandle, ExitStack]] = {}

    def lease(self, camera: str) -> None:
        """Watch a camera for some seconds more; called in the server's loop."""
        held = self._leases.pop(camera, None)
        if held is not None:
            held[0].cancel()
            watch = held[1]
        else:
            watch = ExitStack()
            watch.enter_context(self._board.watch(camera))
        timer = asyncio.get_running_loop().call_later(LEASE_SECONDS, self._release, camera)
        self._leases[camera] = (timer, watch)

    def _release(self, camera: str) -> None:
        self._leases.pop(camera)[1].close()

    def close(self) -> None:
        """Watch nothing any more, and end the thread."""
        for timer, watch in self._leases.values():
            timer.cancel()
            watch.close()
        self._leases.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def newest(self, camera: str) -> Picture | None:
        """Of a watched camera; None: there is none yet."""
        found = self._board.picture(camera)
        if found is None or found[0].image is None:
            return None
        drawn = self._drawn.get(camera)
        if drawn is not None and drawn[0] == _identity(found[0]):
            return drawn
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._draw, camera, *found
        )

    def _draw(self, camera: str, frame: Frame, people: Sequence[Tracked]) -> Picture:
        drawn = self._drawn.get(camera)
        # Somebody else who looks asked for the same frame first.
        if drawn is not None and drawn[0] == _identity(frame):
            return drawn
        captions = {one.track: caption(self._board.doing(camera, one.track)) for one in people}
        made = _identity(frame), self._jpeg(frame, people, captions)
        self._drawn[camera] = made
        return made

    def _jpeg(self, frame: Frame, people: Sequence[Tracked], captions: Mapping[int, str]) -> bytes:
        with requires("showing images", 'pip install "stgcn-deploy[live]"'):
            import cv2
        image = frame.image
        assert image is not None
        height, width = image.shape[:2]
        factor = min(1.0, WIDTH / width)
        if factor < 1.0:
            size = (WIDTH, max(1, round(height * factor)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        annotate = self._annotate or _overlay()
        image = annotate(image, scaled(people, factor), edges=self._board.edges, captions=captions)
        good, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )
        assert good
        return bytes(data)


def _identity(frame: Frame) -> tuple[float, int]:
    return frame.arrived, frame.epoch


def _overlay() -> Annotate:
    from stgcn_deploy.live.overlay import annotate

    return annotate
