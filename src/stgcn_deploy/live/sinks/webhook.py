"""Events posted as JSON: signed, kept while the receiver is away, and sent in their order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.settings import WebhookSettings
from stgcn_deploy.live.sinks.base import SinkError
from stgcn_deploy.live.sinks.retry import Retry
from stgcn_deploy.live.sinks.spool import FolderSpool, MemorySpool, Spool

__all__ = ["Answer", "Post", "WebhookSink", "http_post", "signature"]

LOG = logging.getLogger(__name__)

# Answers after which the same request may well succeed: the receiver, or what stands before it, is busy.
AWAY = frozenset({408, 425, 429, 502, 503, 504})
# Other errors of the receiver may be this event's fault: after so many tries the next one has its turn.
TRIES = 10
# So much of an answer is read, and nothing of it used.
MAX_ANSWER = 1 << 16
PLAIN = re.compile(r"[\x21-\x7e]+")
SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Answer:
    """Of the receiver.

    Attributes:
        after: seconds that it asks to wait.
    """

    status: int
    after: float = 0.0


# Sends a body with headers; raises OSError or http.client.HTTPException where there is no answer.
Post = Callable[[bytes, Mapping[str, str]], Answer]


def signature(secret: str, body: bytes) -> str:
    """The header X-Stgcn-Signature: HMAC-SHA256 of the body."""
    return "sha256=" + hmac.new(secret.encode("utf-8"), body, hashlib.sha256).hexdigest()


class WebhookSink:
    """Keeps events in a spool and posts them one by one, the oldest first.

    At least once: an event is dropped from the spool when the receiver has answered 2xx, so that it comes
    again, with the same X-Stgcn-Event, where that answer was lost.

    Args:
        post: instead of a real connection.
        retry: when to try again.

    Raises:
        UsageError: no http or https URL, or a spool that cannot be written.
    """

    def __init__(
        self, settings: WebhookSettings, *, post: Post | None = None, retry: Retry | None = None
    ) -> None:
        self._post, self.name = http_post(settings.url, settings.timeout)
        self._post = post or self._post
        self._secret = settings.secret
        self._retry = retry or Retry()
        most = int(settings.spool_mb * 1e6)
        self._spool: Spool = (
            FolderSpool(Path(settings.spool), most) if settings.spool else MemorySpool(most)
        )
        self._due = 0.0
        self._tries = 0

    def emit(self, event: Event) -> None:
        """See Sink."""
        self._spool.add(event)

    def work(self, now: float) -> float | None:
        """See DeferringSink."""
        if now < self._due:
            return self._due
        first = self._spool.first()
        if first is None:
            return None
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "stgcn-deploy",
            "X-Stgcn-Event": first.id,
        }
        if self._secret is not None:
            headers["X-Stgcn-Signature"] = signature(self._secret, first.body)
        try:
            answer = self._post(first.body, headers)
        except (OSError, http.client.HTTPException) as error:
            return self._away(now, _why(error))
        if 200 <= answer.status < 300:
            if self._retry.failures:
                LOG.warning("%s: takes events again", self.name)
            self._forget()
            return now
        self._tries += answer.status not in AWAY
        if answer.status in AWAY or (answer.status >= 500 and self._tries < TRIES):
            return self._away(now, f"it answers {answer.status}", answer.after)
        self._forget()
        raise SinkError(
            f"the receiver answered {answer.status} to event {first.id}, which is dropped"
            + ("; redirects are not followed, give the final URL." if answer.status < 400 else "."),
            "refused",
        )

    def waiting(self) -> int:
        """See DeferringSink."""
        return self._spool.volatile()

    def close(self) -> None:
        """See Sink."""
        lost = self._spool.volatile()
        self._spool.close()
        if lost:
            raise SinkError(
                f"events left at the end: {lost}; a spool would keep them for the next start.",
                "stopping",
                events=lost,
            )

    def _away(self, now: float, why: str, after: float = 0.0) -> float:
        if not self._retry.failures:
            LOG.warning("%s: %s; events are kept and sent again", self.name, why)
        self._due = self._retry.failed(now, at_least=after)
        return self._due

    def _forget(self) -> None:
        self._spool.done()
        self._retry.succeeded()
        self._tries = 0


def _why(error: Exception) -> str:
    """A failed connection in words, without what may be secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def http_post(url: str, timeout: float) -> tuple[Post, str]:
    """A way to post to a URL, one connection each, and the URL's name without its secrets.

    Raises:
        UsageError: it is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    # The URL is not shown: it may hold a password, or be one.
    if parts.scheme not in ("http", "https") or not host or not PLAIN.fullmatch(url):
        raise UsageError(
            "sink: a webhook's url begins with http:// or https:// and a host; spaces and letters "
            "beyond ASCII are written as %XX."
        )
    name = f"webhook {parts.scheme}://{host}" + (f":{port}" if port else "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fixed = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        fixed["Authorization"] = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    context = ssl.create_default_context() if parts.scheme == "https" else None

    def post(body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
            if context
            else http.client.HTTPConnection(host, port, timeout=timeout)
        )
        try:
            connection.request("POST", target, body, {**headers, **fixed})
            answer = connection.getresponse()
            after = answer.getheader("Retry-After") or ""
            answer.read(MAX_ANSWER)
            return Answer(answer.status, float(after) if SECONDS.fullmatch(after) else 0.0)
        finally:
            connection.close()

    return post, name
