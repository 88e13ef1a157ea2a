"""Webhooks: signed, in order, tried again, kept in a spool, and never telling secrets."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from liveevents import Dropped, event

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.outlet import Outlet
from stgcn_deploy.live.settings import WebhookSettings
from stgcn_deploy.live.sinks.base import DeferringSink, SinkError
from stgcn_deploy.live.sinks.registry import make_sink
from stgcn_deploy.live.sinks.retry import Retry
from stgcn_deploy.live.sinks.spool import FolderSpool, MemorySpool
from stgcn_deploy.live.sinks.webhook import TRIES, Answer, WebhookSink, signature

URL = "http://127.0.0.1:9/hook"


class Receiver:
    """Answers as it is told, 200 after that, and keeps what it took."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.got: list[str] = []

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.asked.append(headers["X-Stgcn-Event"])
        answer = self.answers.pop(0) if self.answers else Answer(200)
        if isinstance(answer, Exception):
            raise answer
        if answer.status < 300:
            assert json.loads(body)["id"] == headers["X-Stgcn-Event"]
            self.got.append(headers["X-Stgcn-Event"])
        return answer


def steady() -> Retry:
    return Retry(chance=lambda: 0.5)


def hook(receiver: Receiver, **settings: Any) -> WebhookSink:
    return WebhookSink(WebhookSettings(url=URL, **settings), post=receiver, retry=steady())


def work(sink: WebhookSink, now: float = 0.0) -> float | None:
    """Work until the sink wants to wait, or has nothing left."""
    while (due := sink.work(now)) is not None and due <= now:
        pass
    return due


def test_waits_grow_and_begin_anew() -> None:
    retry = Retry(first=0.5, factor=2.0, most=3.0, chance=lambda: 0.5)
    assert [retry.failed(10.0) for _ in range(5)] == [10.5, 11.0, 12.0, 13.0, 13.0]
    retry.succeeded()
    assert retry.failed(0.0) == 0.5
    assert retry.failed(0.0, at_least=2.5) == 2.5
    assert retry.failed(0.0, at_least=1e9) == 3.0, "a receiver cannot silence us"
    for _ in range(5000):
        retry.failed(0.0)
    low, high = (Retry(jitter=0.2, chance=lambda end=end: end) for end in (0.0, 1.0))
    assert (low.failed(0.0), high.failed(0.0)) == pytest.approx((0.4, 0.6))


def test_events_are_posted_in_their_order() -> None:
    receiver = Receiver()
    sink = hook(receiver)
    assert isinstance(sink, DeferringSink)
    for number in range(3):
        sink.emit(event(number))
    assert sink.waiting() == 3
    assert work(sink) is None
    assert receiver.got == ["e0", "e1", "e2"]
    assert sink.waiting() == 0
    sink.close()


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        http.client.RemoteDisconnected("closed"),
        http.client.BadStatusLine("junk"),
        *(Answer(status) for status in (408, 429, 500, 502, 503, 504)),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(trouble: Answer | Exception) -> None:
    receiver = Receiver(trouble, trouble)
    sink = hook(receiver)
    sink.emit(event(1))
    sink.emit(event(2))
    assert work(sink, 10.0) == 10.5
    assert sink.work(10.4) == 10.5, "not before it is time"
    assert work(sink, 10.5) == 11.5
    assert work(sink, 11.5) is None
    assert receiver.asked == ["e1", "e1", "e1", "e2"]
    assert receiver.got == ["e1", "e2"]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 422])
def test_what_will_not_pass_is_dropped_and_counted(status: int) -> None:
    receiver = Receiver(Answer(status))
    sink = hook(receiver)
    sink.emit(event(1))
    sink.emit(event(2))
    with pytest.raises(SinkError, match=f"answered {status}") as caught:
        work(sink)
    assert caught.value.reason == "refused"
    assert ("redirects" in str(caught.value)) == (status < 400)
    assert work(sink) is None
    assert receiver.got == ["e2"]


def test_an_event_that_breaks_the_receiver_does_not_block_others_for_ever() -> None:
    receiver = Receiver(*[Answer(503)] * 50, *[Answer(500)] * TRIES)
    sink = hook(receiver)
    sink.emit(event(1))
    sink.emit(event(2))
    now = 0.0
    for _ in range(50 + TRIES - 1):
        now = work(sink, now) or 0.0
    with pytest.raises(SinkError, match="answered 500"):
        work(sink, now)
    assert receiver.asked == ["e1"] * (50 + TRIES), "one that is away is waited for"
    work(sink, 1e6)
    assert receiver.got == ["e2"]


def test_a_receiver_may_ask_to_wait() -> None:
    sink = hook(Receiver(Answer(429, after=7.0)))
    sink.emit(event(1))
    assert work(sink, 1.0) == 8.0


def test_what_is_left_without_a_spool_is_counted() -> None:
    sink = hook(Receiver(Answer(503)))
    sink.emit(event(1))
    sink.emit(event(2))
    work(sink)
    with pytest.raises(SinkError, match="left at the end: 2") as caught:
        sink.close()
    assert (caught.value.events, caught.value.reason) == (2, "stopping")


def test_a_spool_outlives_the_program(tmp_path: Path) -> None:
    folder = str(tmp_path / "a" / "spool")
    first = hook(Receiver(Answer(503)), spool=folder)
    for number in range(12):
        first.emit(event(number))
    assert work(first) == 0.5
    assert first.waiting() == 0, "nothing would be lost"
    first.close()
    first.close()
    receiver = Receiver()
    second = hook(receiver, spool=folder)
    second.emit(event(12))
    assert work(second) is None
    assert receiver.got == [f"e{number}" for number in range(13)]
    assert [path.name for path in Path(folder).iterdir()] == [".lock"]
    second.close()


def test_an_answer_that_was_lost_brings_the_event_again(tmp_path: Path) -> None:
    receiver = Receiver(TimeoutError())
    sink = hook(receiver, spool=str(tmp_path))
    sink.emit(event(1))
    work(sink)
    sink.close()
    again = hook(receiver, spool=str(tmp_path))
    work(again)
    again.close()
    assert receiver.asked == ["e1", "e1"], "with the same id"


def test_files_that_are_no_events_are_counted_and_left_out(tmp_path: Path) -> None:
    bad = [
        b"", b"not json", b"[1]", b'{"id": 7}', b'{"id": "a\\r\\nX-Evil: 1"}', b"[" * 100_000,
        b'{"id": "e", "text": "' + b"x" * (1 << 20) + b'"}',
    ]  # fmt: skip
    for number, body in enumerate(bad):
        (tmp_path / f"{number:016d}.json").write_bytes(body)
    (tmp_path / "notes.txt").write_text("of the user's", encoding="utf-8")
    (tmp_path / ".new").write_bytes(b"half an ev")
    (tmp_path / f"{99:016d}.json").symlink_to(tmp_path / "notes.txt")
    receiver = Receiver()
    sink = hook(receiver, spool=str(tmp_path))
    sink.emit(event(1))
    for _ in bad:
        with pytest.raises(SinkError, match="no event") as caught:
            sink.work(0.0)
        assert caught.value.reason == "corrupt"
    assert work(sink) is None
    assert receiver.got == ["e1"]
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "of the user's"
    sink.close()


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_a_full_spool_drops_the_oldest_and_says_so(where: str, tmp_path: Path) -> None:
    size = len(event(1).as_line().encode("utf-8"))
    most = 3 * size
    spool = MemorySpool(most) if where == "memory" else FolderSpool(tmp_path, most)
    for number in range(1, 4):
        spool.add(event(number))
    with pytest.raises(SinkError, match="1 of the oldest") as caught:
        spool.add(event(4))
    assert (caught.value.reason, caught.value.events) == ("spool full", 1)
    left = []
    while (first := spool.first()) is not None:
        left.append(first.id)
        spool.done()
    assert left == ["e2", "e3", "e4"]
    assert len(list(tmp_path.glob("*.json"))) == 0
    spool.close()


def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="needs locks of files, which this system lacks")
    sink = hook(Receiver(), spool=str(tmp_path))
    with pytest.raises(UsageError, match="a folder of its own"):
        hook(Receiver(), spool=str(tmp_path))
    sink.close()
    hook(Receiver(), spool=str(tmp_path)).close()


def test_a_spool_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot use the spool"):
        hook(Receiver(), spool=str(tmp_path / "file" / "spool"))
    spool = FolderSpool(tmp_path / "spool", 10**6)
    shutil.rmtree(tmp_path / "spool")
    with pytest.raises(SinkError) as caught:
        spool.add(event(1))
    assert caught.value.reason == "not writable"
    spool.close()


def test_a_file_that_somebody_removed_is_no_trouble_for_others(tmp_path: Path) -> None:
    receiver = Receiver()
    sink = hook(receiver, spool=str(tmp_path))
    sink.emit(event(1))
    sink.emit(event(2))
    min(tmp_path.glob("*.json")).unlink()
    with pytest.raises(SinkError):
        sink.work(0.0)
    assert work(sink) is None
    assert receiver.got == ["e2"]
    sink.close()


def test_troubles_are_said_once_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    settings = WebhookSettings(
        url="https://user:pass-word@host.example:8443/T0KEN?key=s3cret", secret="sign-with-this"
    )
    receiver = Receiver(*[ConnectionRefusedError(111, "Connection refused")] * 3)
    sink = WebhookSink(settings, post=receiver, retry=steady())
    assert sink.name == "webhook https://host.example:8443"
    sink.emit(event(1))
    with caplog.at_level(logging.DEBUG):
        for now in (0.0, 10.0, 20.0, 30.0):
            sink.work(now)
    assert caplog.text.count("Connection refused") == 1
    assert caplog.text.count("takes events again") == 1
    for secret in ("pass-word", "T0KEN", "s3cret", "sign-with-this"):
        assert secret not in caplog.text + sink.name + repr(sink)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/secret", "file:///secret", "secret", "http://", "http://host:secret/",
     "http://[secret/", "http://host/a secret", "http://höst/secret", "http://host/\nsecret"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="http:// or https://") as caught:
        WebhookSink(WebhookSettings(url=url))
    assert "secret" not in str(caught.value)


# Real connections, to this machine.

Handle = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextmanager
def server(handle: Handle, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            handle(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Quiet(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that goes away is meant."""

    with Quiet(("127.0.0.1", 0), Handler) as httpd:
        if context:
            httpd.socket = context.wrap_socket(
                httpd.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield httpd.server_address[1]
        finally:
            httpd.shutdown()
            thread.join(60)


def answer(request: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": "0", **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()


def test_a_receiver_can_check_who_sent_it() -> None:
    got: list[tuple[dict[str, str], bytes, str]] = []

    def handle(request: BaseHTTPRequestHandler, body: bytes) -> None:
        got.append((dict(request.headers), body, request.path))
        answer(request, 204)

    dropped = Dropped()
    with server(handle) as port:
        url = f"http://us%40er:pw@127.0.0.1:{port}/hook?a=1"
        outlet = Outlet(make_sink(WebhookSettings(url=url, secret="päss")), dropped)
        outlet.put(event(1))
        outlet.put(event(2))
        assert outlet.close(60)
    assert not dropped.reasons
    headers, body, path = got[0]
    assert body == event(1).as_line().encode("utf-8")
    assert path == "/hook?a=1"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["X-Stgcn-Event"] == "e1"
    digest = hmac.new("päss".encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Stgcn-Signature"] == f"sha256={digest}" == signature("päss", body)
    assert headers["Authorization"] == "Basic dXNAZXI6cHc="
    assert got[1][0]["X-Stgcn-Event"] == "e2"


def test_without_a_secret_there_is_no_signature() -> None:
    got: list[dict[str, str]] = []

    def handle(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        got.append(dict(request.headers))
        answer(request, 200)

    with server(handle) as port:
        sink = WebhookSink(WebhookSettings(url=f"http://127.0.0.1:{port}"))
        sink.emit(event(1))
        assert work(sink) is None
    assert "X-Stgcn-Signature" not in got[0]
    assert "Authorization" not in got[0]


def test_redirects_are_not_followed() -> None:
    reached: list[str] = []

    def elsewhere(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        reached.append(request.path)
        answer(request, 200)

    with server(elsewhere) as other:

        def handle(request: BaseHTTPRequestHandler, _body: bytes) -> None:
            answer(request, 307, Location=f"http://127.0.0.1:{other}/")

        with server(handle) as port:
            sink = WebhookSink(WebhookSettings(url=f"http://127.0.0.1:{port}/"))
            sink.emit(event(1))
            with pytest.raises(SinkError, match="redirects are not followed"):
                sink.work(0.0)
    assert reached == []


@pytest.mark.parametrize(("after", "due"), [("3", 3.0), ("soon", 0.5), ("²", 0.5), ("-1", 0.5)])
def test_the_header_that_asks_to_wait(after: str, due: float) -> None:
    def handle(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        answer(request, 503, Retry_After=after)

    with server(handle) as port:
        settings = WebhookSettings(url=f"http://127.0.0.1:{port}/")
        sink = WebhookSink(settings, retry=steady())
        sink.emit(event(1))
        assert sink.work(0.0) == due


def test_one_that_takes_connections_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = WebhookSettings(url=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.05)
        sink = WebhookSink(settings, retry=steady())
        sink.emit(event(1))
        assert sink.work(0.0) == 0.5
        assert sink.waiting() == 1


def test_one_that_speaks_nonsense() -> None:
    def handle(request: BaseHTTPRequestHandler, _body: bytes) -> None:
        with suppress(OSError):
            request.wfile.write(b"\x00\xff" * 100 + b"\r\n\r\n")

    with server(handle) as port:
        sink = WebhookSink(WebhookSettings(url=f"http://127.0.0.1:{port}/"), retry=steady())
        sink.emit(event(1))
        assert sink.work(0.0) == 0.5


def test_certificates_are_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl to make a certificate, which is absent")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
        env={**os.environ, "RANDFILE": str(tmp_path / "rnd")},
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    reached: list[bytes] = []
    with server(lambda request, body: reached.append(body), context) as port:
        sink = WebhookSink(WebhookSettings(url=f"https://127.0.0.1:{port}/"), retry=steady())
        sink.emit(event(1))
        with caplog.at_level(logging.WARNING):
            assert sink.work(0.0) == 0.5
    assert "certificate is not valid" in caplog.text
    assert reached == []
