"""What the page answers; server.py puts it on a port."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.errors import requires
from stgcn_deploy.live.board import Board
from stgcn_deploy.live.metrics import CONTENT_TYPE, Metrics
from stgcn_deploy.live.page.guard import TRUSTED, Guard, local_names
from stgcn_deploy.live.page.pictures import Annotate, Pictures
from stgcn_deploy.live.page.stream import (
    BOUNDARY,
    Slots,
    compact,
    motion,
    news,
    pause,
    resume_from,
    streaming,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

__all__ = ["Ready", "LiveApp"]

# Whether people can rely on the run, and why not: {"model": "loading", "cameras": "0 of 3 up"}.
Ready = Callable[[], tuple[bool, dict[str, Any]]]

FILES = {
    "/": ("live.html", "text/html"),
    "/live.css": ("live.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
    "/card.js": ("card.js", "text/javascript"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/events.js": ("events.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
MOST_MOTION = 16
MOST_NEWS = 32
# However many ask, the state is put together no more often.
STATE_SECONDS = 0.2
# The first image of a camera that nobody watched until now needs a frame.
FIRST_IMAGE_SECONDS = 1.0
BUSY = "Too many are watching; close another window of this page.\n"


class LiveApp:
    """Routes over a board and metrics; `asgi` is the application.

    Attributes:
        stopping: set in the server's loop: answers that go on come to their end.
        started: called in the server's loop once it runs.
    """

    def __init__(
        self,
        board: Board,
        metrics: Metrics,
        ready: Ready,
        *,
        alive: Callable[[], bool],
        annotate: Annotate | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        self.started: Callable[[], None] = lambda: None
        self.motion = Slots(MOST_MOTION)
        self.news = Slots(MOST_NEWS)
        self._board = board
        self._metrics = metrics
        self._ready = ready
        self._alive = alive
        self._pictures = Pictures(board, annotate=annotate)
        self._run = secrets.token_hex(4)
        self._state: tuple[float, str] | None = None

    def asgi(self, *, host: str = "127.0.0.1", token: str | None = None, port: int = 0) -> ASGIApp:
        """The application behind its guard."""
        with requires("the live page", 'pip install "stgcn-deploy[live]"'):
            from starlette.applications import Starlette
            from starlette.routing import Route

        folder = Path(__file__).parent
        routes = [
            Route(path, _file(folder / name, kind)) for path, (name, kind) in FILES.items()
        ] + [
            Route("/setup.json", self.setup),
            Route("/state.json", self.state),
            Route("/events", self.events),
            Route("/cameras/{name}.mjpg", self.camera_motion),
            Route("/cameras/{name}.jpg", self.camera_image),
            Route("/cameras/{name}.json", self.camera_people),
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
        ]
        app = Starlette(routes=routes, lifespan=self._lifespan)
        # Cookies do not tell ports apart.
        return Guard(app, token=token, hosts=local_names(host), cookie=f"stgcn_page_{port}")

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        self.started()
        yield
        self._pictures.close()

    def state_text(self) -> str:
        """The board's snapshot without key points, as JSON."""
        now = time.monotonic()
        if self._state is None or now - self._state[0] >= STATE_SECONDS:
            self._state = now, compact(self._board.snapshot(keypoints=False))
        return self._state[1]

    async def setup(self, _: Request) -> Response:
        """What does not change during a run."""
        from stgcn_deploy import __version__

        return _json(
            {
                "version": __version__,
                "cameras": self._board.cameras,
                "edges": self._board.edges,
                "upwards": self._board.upwards,
            }
        )

    async def state(self, _: Request) -> Response:
        """The state once, for clients that cannot keep a connection open."""
        return _json_text(self.state_text())

    async def events(self, request: Request) -> Response:
        """State and events as they come."""
        if request.method == "HEAD":
            return _text("", 200, "text/event-stream")
        if not self.news.take():
            return _text(BUSY, 503)
        last = request.headers.get("last-event-id") or request.query_params.get("since")
        content = news(
            self._board,
            self.state_text,
            run=self._run,
            since=resume_from(self._board, self._run, last),
            stopping=self.stopping,
        )
        return streaming(content, "text/event-stream", done=self.news.free)

    def _refusal(self, request: Request) -> Response | None:
        name = request.path_params["name"]
        if name not in self._board.cameras:
            return _text("There is no such camera.\n", 404)
        return None

    async def camera_motion(self, request: Request) -> Response:
        """A camera as motion JPEG."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        if request.method == "HEAD":
            return _text("", 200, kind)
        if not self.motion.take():
            return _text(BUSY, 503)
        watch = ExitStack()
        watch.callback(self.motion.free)
        name = request.path_params["name"]
        watch.enter_context(self._board.watch(name))
        return streaming(
            motion(self._pictures, name, stopping=self.stopping), kind, done=watch.close
        )

    async def camera_image(self, request: Request) -> Response:
        """A camera's newest image; 204: there is none yet."""
        from starlette.responses import Response

        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        name = request.path_params["name"]
        self._pictures.lease(name)
        patience = time.monotonic() + FIRST_IMAGE_SECONDS
        found = await self._pictures.newest(name)
        while found is None and time.monotonic() < patience and not self.stopping.is_set():
            await pause(self.stopping, 0.05)
            found = await self._pictures.newest(name)
        if found is None:
            return Response(status_code=204)
        return Response(found[1], media_type="image/jpeg")

    async def camera_people(self, request: Request) -> Response:
        """Who a camera sees, with key points, for the page to draw."""
        return self._refusal(request) or _json(self._board.seen(request.path_params["name"]))

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        loop = asyncio.get_running_loop()
        return _text(await loop.run_in_executor(None, self._metrics.text), 200, CONTENT_TYPE)

    async def healthz(self, _: Request) -> Response:
        """Whether the run is alive; if not, start it again."""
        alive = self._alive()
        return _text("ok\n" if alive else "not alive\n", 200 if alive else 503)

    async def readyz(self, request: Request) -> Response:
        """Whether the run does its work; reasons for those who may see the page."""
        ready, reasons = self._ready()
        shown = {"ready": ready, **(reasons if request.scope.get(TRUSTED) else {})}
        return _json(shown, 200 if ready else 503)


def _file(path: Path, kind: str) -> Callable[[Request], Any]:
    content = path.read_bytes()

    async def answer(_: Request) -> Response:
        return _text(content, 200, kind)

    return answer


def _text(content: str | bytes, status: int, kind: str = "text/plain") -> Response:
    from starlette.responses import Response

    return Response(content, status, media_type=kind)


def _json_text(content: str, status: int = 200) -> Response:
    return _text(content, status, "application/json")


def _json(value: Any, status: int = 200) -> Response:
    return _json_text(compact(value), status)
