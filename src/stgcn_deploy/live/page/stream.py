"""Answers that go on: server-sent events and motion JPEG, at the pace of whoever reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from stgcn_deploy.live.board import Board
from stgcn_deploy.live.page.pictures import Pictures

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Send

__all__ = ["BOUNDARY", "Slots", "compact", "motion", "news", "pause", "resume_from", "streaming"]

BOUNDARY = "stgcn-frame"
# Events are looked for this often, and every other time the state goes along.
TICK_SECONDS = 0.25
STATE_EVERY = 2
# A new client is told of so many events of before.
HISTORY = 50
# Motion JPEG has at most 10 images a second.
IMAGE_SECONDS = 0.1
# A client that takes nothing for so long is gone.
STUCK_SECONDS = 20.0


def compact(value: Any) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Slots:
    """So many at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self) -> bool:
        """Whether there was room."""
        if self.taken >= self.most:
            return False
        self.taken += 1
        return True

    def free(self) -> None:
        """Give one back."""
        self.taken -= 1


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than the server runs."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except asyncio.TimeoutError:
        return


def resume_from(board: Board, run: str, last: str | None) -> int:
    """The number after which a client's events begin.

    Args:
        run: names this run; a browser that comes back after a restart counts another run's events.
        last: the id of the last event that the client has, "RUN-NUMBER".
    """
    known, _, number = (last or "").rpartition("-")
    if known == run and number.isascii() and number.isdigit():
        return min(int(number), board.newest_event)
    return max(0, board.newest_event - HISTORY)


async def news(
    board: Board, state: Callable[[], str], *, run: str, since: int, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """Server-sent events: `state` twice a second, `happened` for each event, with its id."""
    yield b"retry: 2000\n\n"
    tick = 0
    while not stopping.is_set():
        for number, event in board.events_since(since):
            since = number
            yield f"id: {run}-{number}\nevent: happened\ndata: {event.as_line()}\n\n".encode()
        if tick % STATE_EVERY == 0:
            yield f"event: state\ndata: {state()}\n\n".encode()
        tick += 1
        await pause(stopping, TICK_SECONDS)


async def motion(
    pictures: Pictures, camera: str, *, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """Motion JPEG: each image that is new, the newest one only."""
    shown: tuple[float, int] | None = None
    while not stopping.is_set():
        found = await pictures.newest(camera)
        if found is not None and found[0] != shown:
            shown, data = found
            head = (
                f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            )
            yield head.encode() + data + b"\r\n"
        await pause(stopping, IMAGE_SECONDS)


def streaming(
    content: AsyncIterator[bytes], media_type: str, *, done: Callable[[], None]
) -> Response:
    """An answer that ends when the client is gone or takes nothing; `done` is called in any case."""
    from starlette.responses import StreamingResponse

    class Streaming(StreamingResponse):
        async def stream_response(self, send: Send) -> None:
            async def in_time(message: Any) -> None:
                await asyncio.wait_for(send(message), STUCK_SECONDS)

            try:
                await super().stream_response(in_time)
            except asyncio.TimeoutError:
                return

        async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                done()

    # A proxy that collects an answer before it passes it on would show nothing.
    return Streaming(content, media_type=media_type, headers={"x-accel-buffering": "no"})
