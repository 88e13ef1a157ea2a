"""Who may see the page: the token, the name that the page was asked by, what a browser may do with it."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Collection
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "local_names"]

LOG = logging.getLogger(__name__)

# Nothing but our own files; no inline scripts or styles, no other site's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    # Else any page that is open in the same browser could show the cameras of a page without a token.
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
# Probes come by address and without a token; they learn yes or no.
OPEN = ("/healthz", "/readyz")
TRUSTED = "stgcn_trusted"


def local_names(host: str) -> frozenset[str]:
    """Names by which a browser on this machine asks for a page of its own."""
    return frozenset({"localhost", "127.0.0.1", "::1", host.lower()})


def _name(host: str) -> str:
    """Of a Host header, without the port; IPv6 without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


class Guard:
    """ASGI middleware: refuses who may not see the page, and sets the headers of every answer.

    Without a token the page stands on a loopback address.  There it is reached by the names of this
    machine only: a site whose name was made to point at 127.0.0.1 (DNS rebinding) asks by its own.

    Args:
        token: None: nobody is asked for one.
        hosts: names that the page may be asked by where there is no token.
        cookie: name of the cookie that stands for the token.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Collection[str], cookie: str
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(hosts)
        self._cookie = cookie
        # The cookie is no copy of the token: what a browser keeps opens this page and nothing else.
        self._pass = (
            "" if token is None else hmac.new(token.encode(), b"stgcn page", sha256).hexdigest()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        from starlette.datastructures import MutableHeaders
        from starlette.requests import Request

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        by_link = self._matches(request.query_params.get("token"))
        refusal = None if by_link else self._refusal(request)
        scope[TRUSTED] = refusal is None
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if by_link:
                    headers.append("set-cookie", self._set_cookie(request))
            await send(message)

        app = self._app
        if refusal is not None and scope["path"] not in OPEN:
            app = self._refuse(*refusal)
        try:
            await app(scope, receive, guarded)
        except Exception:
            # The server itself is told to be quiet about clients that go; this is a fault of ours.
            LOG.exception("the page failed on %s", scope["path"])
            if not started:
                raise

    def _matches(self, given: str | None) -> bool:
        if self._token is None or given is None:
            return False
        return hmac.compare_digest(given.encode(), self._token)

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        """Status and text; None: welcome."""
        if self._token is None:
            if _name(request.headers.get("host", "")) in self._hosts:
                return None
            return 403, (
                "This page answers to the names of its own machine only (localhost, 127.0.0.1). "
                "Behind a proxy, let it pass 'Host: localhost', or set a token."
            )
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        # Header bytes arrive as latin-1.
        said = given.strip().encode("latin-1").decode("utf-8", "replace")
        if kind.lower() == "bearer" and self._matches(said):
            return None
        kept = request.cookies.get(self._cookie, "")
        if hmac.compare_digest(kept.encode(), self._pass.encode()):
            return None
        return (
            401,
            "This page needs its token: open it once with ?token=... at the end of the address.",
        )

    @staticmethod
    def _refuse(status: int, text: str) -> ASGIApp:
        from starlette.responses import PlainTextResponse

        headers = {"www-authenticate": "Bearer"} if status == 401 else None
        return PlainTextResponse(text + "\n", status, headers)

    def _set_cookie(self, request: Request) -> str:
        secure = "; Secure" if request.url.scheme == "https" else ""
        return f"{self._cookie}={self._pass}; Path=/; HttpOnly; SameSite=Strict{secure}"
