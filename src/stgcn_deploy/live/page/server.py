"""The page on a port, in a thread of its own beside the pipeline."""

from __future__ import annotations

import errno
import socket
import sys
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from stgcn_deploy.errors import BackendError, UsageError, requires
from stgcn_deploy.live.board import Board
from stgcn_deploy.live.metrics import Metrics
from stgcn_deploy.live.page.app import LiveApp, Ready
from stgcn_deploy.live.page.pictures import Annotate
from stgcn_deploy.live.settings import PageSettings, is_loopback

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["PageServer"]

START_SECONDS = 10.0
STOP_SECONDS = 2.0
# Connections at a time: pages keep one open each, and a few for images.
MOST_CONNECTIONS = 128


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise UsageError(
            f"the page's host {host!r} is no address or name that is known here; use 127.0.0.1."
        ) from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Else the port stays closed for a minute after a restart; on Windows it means something else.
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UsageError(_why_not(host, port, error)) from None
    return listening


def _why_not(host: str, port: int, error: OSError) -> str:
    other = "choose another port for the page, or 0 for any that is free"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use, perhaps by another live run; {other}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} of {host} is not allowed to this user; {other}."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; use 127.0.0.1."
    return f"the page cannot listen on port {port} of {host}: {error.strerror}; {other}."


class PageServer:
    """The page, /metrics, /healthz and /readyz.

    Args:
        ready: whether people can rely on the run, and why not; called in the server's thread.
        alive: whether the pipeline's threads go on; same.
        annotate: draws people into an image; None: live.overlay's.

    Raises:
        UsageError: others than this machine could reach it, and there is no token.
    """

    def __init__(
        self,
        settings: PageSettings,
        board: Board,
        metrics: Metrics,
        ready: Ready,
        *,
        alive: Callable[[], bool],
        annotate: Annotate | None = None,
    ) -> None:
        if settings.token is None and not is_loopback(settings.host):
            raise UsageError(
                f"the page would be open to everybody who reaches {settings.host}; set a token of 8 "
                "or more characters for it, or let it stay on 127.0.0.1."
            )
        self._settings = settings
        self._app = LiveApp(board, metrics, ready, alive=alive, annotate=annotate)
        self._loop: AbstractEventLoop | None = None
        self._running = Event()
        self._server: Server | None = None
        self._thread: Thread | None = None

    def start(self) -> str:
        """Listen, and serve from now on; the page's address, without the token.

        Raises:
            UsageError: the port is in use, not allowed, or the host is not here.
            MissingDependencyError: the server's libraries are absent.
        """
        with requires("the live page", 'pip install "stgcn-deploy[live]"'):
            import uvicorn

        host = self._settings.host
        listening = bind(host, self._settings.port)
        port = listening.getsockname()[1]
        self._app.started = self._on_start
        config = uvicorn.Config(
            self._app.asgi(host=host, token=self._settings.token, port=port),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            # It would tell of every client that goes; faults of ours are logged by the guard.
            log_level="critical",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(
            target=self._server.run, args=([listening],), name="stgcn-page", daemon=True
        )
        self._thread.start()
        if not self._running.wait(START_SECONDS):
            self.stop()
            raise BackendError(f"the page's server did not start within {START_SECONDS:.0f} s.")
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
        return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"

    def _on_start(self) -> None:
        self._loop = get_running_loop()
        self._running.set()

    def stop(self) -> None:
        """End within seconds, whoever is connected; more than once does no harm."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # the loop was closed in between
                self._loop.call_soon_threadsafe(self._app.stopping.set)
        self._thread.join(STOP_SECONDS)
