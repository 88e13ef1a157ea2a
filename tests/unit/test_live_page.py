"""The page: what it answers, to whom, and that nobody who looks can hold up the run."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.board import Board
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.metrics import Metrics
from stgcn_deploy.live.page.app import FILES, LiveApp
from stgcn_deploy.live.page.pictures import WIDTH, Pictures, scaled
from stgcn_deploy.live.page.server import PageServer
from stgcn_deploy.live.page.stream import HISTORY, motion, news, resume_from
from stgcn_deploy.live.settings import PageSettings, is_loopback

cv2 = pytest.importorskip("cv2")
TestClient = pytest.importorskip("starlette.testclient").TestClient
pytest.importorskip("uvicorn")

TOKEN = "open-sesame-4711"
NASTY = """<script>alert(1)<script>%22"'&lt;?x=1"""
CAMERAS = ("door", "hall", NASTY)
LOCAL = "http://127.0.0.1:8765"


def board_of(cameras: Sequence[str] = CAMERAS) -> Board:
    return Board(cameras, edges=((0, 1),), labels=("walk", "fall"))


def plain(image: Any, people: Any, *, edges: Any, captions: Any) -> Any:
    return image


def frame(
    camera: str = "door", *, arrived: float | None = None, size: tuple[int, int] = (64, 36)
) -> Frame:
    import time

    now = time.monotonic() if arrived is None else arrived
    return Frame(camera, now, now, np.zeros((size[1], size[0], 3), np.uint8), size=size)


def somebody(track: int = 7) -> Tracked:
    return Tracked(track, Detection(np.ones((2, 3), np.float32), 0.9, (1.0, 2.0, 3.0, 4.0)))


def event(number: int) -> Event:
    return Event(f"e{number}", "action_start", "door", 1.0, 1.0, 7, "fall", 0.9)


def client(
    board: Board | None = None,
    *,
    token: str | None = None,
    ready: Callable[[], tuple[bool, dict[str, Any]]] = lambda: (True, {}),
    alive: bool = True,
    base: str = LOCAL,
) -> Any:
    app = LiveApp(board or board_of(), Metrics(), ready, alive=lambda: alive, annotate=plain)
    return TestClient(app.asgi(token=token, port=8765), base_url=base)


def ended(name: str) -> None:
    """That no thread of this name goes on; a busy machine may take its time."""
    for one in threading.enumerate():
        if one.name.startswith(name):
            one.join(60)
            assert not one.is_alive()


@contextmanager
def serving(board: Board, *, token: str | None = None) -> Iterator[tuple[str, int, PageServer]]:
    settings = PageSettings(port=0, token=token)
    server = PageServer(
        settings, board, Metrics(), lambda: (True, {}), alive=lambda: True, annotate=plain
    )
    parts = urlsplit(server.start())
    assert parts.hostname is not None
    assert parts.port is not None
    try:
        yield parts.hostname, parts.port, server
    finally:
        server.stop()
        ended("stgcn-page")


def taken(stream: AsyncIterator[bytes], count: int) -> bytes:
    async def take() -> bytes:
        found = b""
        async for part in stream:
            found += part
            count_down.pop()
            if not count_down:
                break
        return found

    count_down = [None] * count
    return asyncio.run(take())


# What it answers.


@pytest.mark.parametrize("path", FILES)
def test_files_of_the_page(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(FILES[path][1])
    assert answer.content


def test_page_runs_nothing_but_its_own_files() -> None:
    answer = client().get("/")
    assert not re.search(
        r"<script(?![^>]*src=)|\son\w+=|style=|https?://(?!www\.w3\.org)", answer.text
    )
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_scripts_set_text_and_never_markup() -> None:
    for path in (one for one in FILES if one.endswith(".js")):
        script = client().get(path).text
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script
        )


def test_every_file_that_a_file_names_is_served() -> None:
    for path in FILES:
        text = client().get(path).text
        for name in re.findall(r'(?:from "\./|href="|src=")([\w.]+\.\w+)"', text):
            assert f"/{name}" in FILES, (path, name)


def test_state_and_setup() -> None:
    board = board_of()
    board.camera("door", "running", "")
    board.people(frame(), [somebody()], frame().arrived)
    state = client(board).get("/state.json").json()
    assert [one["name"] for one in state["cameras"]] == list(CAMERAS)
    assert state["cameras"][0]["people"][0]["track"] == 7
    assert "keypoints" not in state["cameras"][0]["people"][0]
    assert client(board).get("/setup.json").json()["edges"] == [[0, 1]]


def test_state_of_forty_cameras_is_short() -> None:
    board = board_of([f"camera-{number:02}" for number in range(40)])
    board.current = lambda camera, track: ("reach_put_away", 0.87654321)
    for name in board.cameras:
        board.camera(name, "running", "")
        for _ in range(30):
            board.frame(frame(name))
            board.people(frame(name), [somebody()], frame().arrived)
            board.frame_dropped(name, "replaced")
    assert len(client(board).get("/state.json").content) < 32_000


def test_people_of_a_camera_for_drawing() -> None:
    board = board_of()
    board.frame(frame(NASTY))
    board.people(frame(NASTY), [somebody()], frame().arrived)
    with (
        serving(board) as (host, port, _),
        ask(host, port, f"/cameras/{quote(NASTY, safe='')}.json") as answer,
    ):
        found = json.loads(answer.read())
    assert found["size"] == [64, 36]
    assert found["people"][0]["keypoints"] == [[1.0, 1.0, 1.0]] * 2
    nobody = client(board).get("/cameras/door.json").json()
    assert nobody == {"size": None, "people": []}


def test_metrics_and_probes() -> None:
    asked = client()
    assert b"stgcn_frames_total" in asked.get("/metrics").content
    assert asked.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    assert asked.get("/healthz").status_code == 200
    assert client(alive=False).get("/healthz").status_code == 503
    assert asked.get("/readyz").json() == {"ready": True}
    late = client(ready=lambda: (False, {"model": "loading"})).get("/readyz")
    assert late.status_code == 503
    assert late.json() == {"ready": False, "model": "loading"}


@pytest.mark.parametrize("kind", ["mjpg", "jpg", "json"])
def test_cameras_that_are_not_there(kind: str) -> None:
    assert client().get(f"/cameras/cellar.{kind}").status_code == 404


def test_only_reading_is_offered() -> None:
    for path in ("/", "/state.json", "/events", "/cameras/door.jpg", "/metrics"):
        assert client().post(path).status_code == 405


def test_head_of_what_goes_on_is_short() -> None:
    asked = client()
    assert asked.head("/events").headers["content-type"].startswith("text/event-stream")
    assert asked.head("/cameras/door.mjpg").headers["content-type"].startswith("multipart/")


# Who may see it.


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "[::1]"]
)
def test_names_of_this_machine(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[evil]"]
)
def test_a_name_made_to_point_here_is_refused(host: str) -> None:
    asked = client()
    for path in ("/", "/state.json", "/events", "/cameras/door.jpg", "/metrics"):
        assert asked.get(path, headers={"host": host}).status_code == 403
    # Probes come by address.
    assert asked.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/live.js", "/state.json", "/events", "/cameras/door.mjpg", "/metrics"]
)
def test_without_the_token_there_is_nothing(path: str) -> None:
    asked = client(token=TOKEN)
    for headers in (
        {},
        {"authorization": "Bearer wrong-token"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": f"stgcn_page_8765={TOKEN}"},
        {"cookie": "stgcn_page_8765="},
    ):
        answer = asked.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "set-cookie" not in answer.headers
    assert asked.get(path, params={"token": "\u00e9\u4e2d"}).status_code == 401
    assert asked.get(path, headers={"authorization": b"Bearer \xff\xfe"}).status_code == 401


def test_token_in_a_header_or_once_in_the_address() -> None:
    header = {"authorization": f"Bearer {TOKEN}"}
    assert client(token=TOKEN).get("/metrics", headers=header).status_code == 200
    asked = client(token=TOKEN)
    first = asked.get("/", params={"token": TOKEN})
    assert first.status_code == 200
    said = first.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=Strict" in said
    assert TOKEN not in said
    assert asked.get("/state.json").status_code == 200
    assert client(token=TOKEN).get("/state.json").status_code == 401


def test_cookie_is_secure_behind_https() -> None:
    asked = client(token=TOKEN, base="https://cameras.example")
    assert "; Secure" in asked.get("/", params={"token": TOKEN}).headers["set-cookie"]


def test_a_token_with_letters_of_all_kinds() -> None:
    token = "gr\u00fc\u00dfe-\u4e2d\u6587-8"
    header = {"authorization": f"Bearer {token}".encode()}
    assert client(token=token).get("/state.json", headers=header).status_code == 200
    assert client(token=token).get("/state.json", params={"token": token}).status_code == 200


def test_probes_say_no_more_than_they_must() -> None:
    asked = client(token=TOKEN, ready=lambda: (False, {"cameras": "door is down"}))
    assert asked.get("/healthz").status_code == 200
    assert asked.get("/readyz").json() == {"ready": False}
    shown = asked.get("/readyz", headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert shown == {"ready": False, "cameras": "door is down"}


def test_token_is_nowhere_to_be_read() -> None:
    asked = client(token=TOKEN)
    asked.get("/", params={"token": TOKEN})
    for path in (*FILES, "/setup.json", "/state.json", "/metrics", "/readyz", "/healthz"):
        answer = asked.get(path)
        assert TOKEN not in answer.text
        assert TOKEN not in str(answer.headers)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera-box", ""])
def test_others_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="token"):
        PageServer(
            # As if it had been checked nowhere before.
            PageSettings.model_construct(host=host, port=0, token=None),
            board_of(),
            Metrics(),
            lambda: (True, {}),
            alive=lambda: True,
        )
    with pytest.raises(ValueError, match="token"):
        PageSettings(host=host)


def test_what_only_this_machine_reaches() -> None:
    assert all(
        is_loopback(one) for one in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost")
    )
    assert not any(
        is_loopback(one) for one in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")
    )


# Images.


def shape_of(data: bytes) -> tuple[int, ...]:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape


def test_image_is_small_and_people_are_drawn_where_they_are() -> None:
    drawn: list[Any] = []

    def annotate(image: Any, people: Sequence[Tracked], *, edges: Any, captions: Any) -> Any:
        drawn.append((image.shape, people[0].detection, edges, captions))
        return image

    board = board_of()
    board.current = lambda camera, track: ("fall", 0.934)
    app = LiveApp(board, Metrics(), lambda: (True, {}), alive=lambda: True, annotate=annotate)
    with TestClient(app.asgi(), base_url=LOCAL) as asked, board.watch("door"):
        board.people(frame(size=(1280, 720)), [somebody()], frame().arrived)
        answer = asked.get("/cameras/door.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert shape_of(answer.content) == (360, WIDTH, 3)
    shape, detection, edges, captions = drawn[0]
    assert shape == (360, WIDTH, 3)
    assert detection.keypoints.tolist() == [[0.5, 0.5, 1.0]] * 2
    assert detection.box == (0.5, 1.0, 1.5, 2.0)
    assert edges == ((0, 1),)
    assert captions == {7: "fall 93%"}


def test_small_images_stay_as_they_are() -> None:
    people = (somebody(),)
    assert scaled(people, 1.0) == people


def test_no_image_yet_and_no_images_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgcn_deploy.live.page.app.FIRST_IMAGE_SECONDS", 0.0)
    board = board_of()
    assert client(board).get("/cameras/door.jpg").status_code == 204
    with board.watch("door"):
        board.people(Frame("door", 1.0, 1.0), [somebody()], 1.0)
        assert client(board).get("/cameras/door.jpg").status_code == 204


def test_a_frame_is_drawn_once_for_all() -> None:
    drawn: list[int] = []

    def annotate(image: Any, people: Any, **_: Any) -> Any:
        drawn.append(1)
        return image

    board = board_of()
    pictures = Pictures(board, annotate=annotate)

    async def look() -> None:
        with board.watch("door"):
            board.people(frame(arrived=1.0), [], 1.0)
            found = await asyncio.gather(*(pictures.newest("door") for _ in range(5)))
            assert len({one[1] for one in found if one}) == 1
            board.people(frame(arrived=2.0), [], 2.0)
            await pictures.newest("door")
        pictures.close()

    asyncio.run(look())
    assert len(drawn) == 2


def test_who_asks_for_single_images_watches_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgcn_deploy.live.page.pictures.LEASE_SECONDS", 0.05)
    board = board_of()
    pictures = Pictures(board, annotate=plain)

    def watchers() -> int:
        return board._cameras["door"].watchers

    async def ask() -> None:
        for _ in range(3):
            pictures.lease("door")
            assert watchers() == 1
        while watchers():
            await asyncio.sleep(0.01)
        pictures.lease("door")
        pictures.close()
        assert watchers() == 0

    asyncio.run(ask())


def test_motion_sends_each_new_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgcn_deploy.live.page.stream.IMAGE_SECONDS", 0.0)
    board = board_of()
    pictures = Pictures(board, annotate=plain)

    async def look() -> list[bytes]:
        stopping = asyncio.Event()
        found = []
        with board.watch("door"):
            board.people(frame(arrived=1.0), [], 1.0)
            async for part in motion(pictures, "door", stopping=stopping):
                found.append(part)
                board.people(frame(arrived=2.0), [], 2.0)
                if len(found) == 2:
                    stopping.set()
        pictures.close()
        return found

    first, second = asyncio.run(look())
    for part in (first, second):
        head, _, data = part.partition(b"\r\n\r\n")
        assert head.startswith(b"--stgcn-frame\r\nContent-Type: image/jpeg")
        assert shape_of(data[:-2]) == (36, 64, 3)


# Events.


def said(text: bytes) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in text.decode().split("\n\n")
        if block
    ]


def test_events_come_with_ids_and_the_state() -> None:
    board = board_of()
    board.event(event(1))
    board.event(event(2))
    stream = news(board, lambda: '{"x":1}', run="ab", since=0, stopping=asyncio.Event())
    found = said(taken(stream, 4))
    assert found[0] == {"retry": "2000"}
    assert [one.get("id") for one in found[1:]] == ["ab-1", "ab-2", None]
    assert json.loads(found[1]["data"])["id"] == "e1"
    assert found[3] == {"event": "state", "data": '{"x":1}'}


def test_labels_cannot_break_out_of_an_event() -> None:
    board = board_of()
    board.event(Event("1", "action_start", NASTY, 1.0, 1.0, label="a\n\nevent: state\ndata: {}"))
    stream = news(board, lambda: "{}", run="ab", since=0, stopping=asyncio.Event())
    found = said(taken(stream, 2))
    assert len(found) == 2
    assert json.loads(found[1]["data"])["label"] == "a\n\nevent: state\ndata: {}"


def test_resuming() -> None:
    board = board_of()
    for number in range(1, 101):
        board.event(event(number))
    assert resume_from(board, "ab", "ab-97") == 97
    assert resume_from(board, "ab", "ab-100000") == 100
    # A new client, another run's count, or nonsense: the last of them.
    for last in (None, "", "cd-97", "97", "ab-", "ab-x", "ab--3", "ab-\u0663"):
        assert resume_from(board, "ab", last) == 100 - HISTORY


def test_the_stream_ends_with_the_server() -> None:
    async def listen() -> int:
        stopping = asyncio.Event()
        count = 0
        async for _ in news(board_of(), lambda: "{}", run="ab", since=0, stopping=stopping):
            count += 1
            stopping.set()
        return count

    assert asyncio.run(listen()) >= 1


# On a port.


@contextmanager
def ask(host: str, port: int, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(host, port, timeout=30)) as asked:
        asked.request("GET", path, headers=headers)
        with asked.getresponse() as answer:
            yield answer


def test_events_over_the_network_and_resumed() -> None:
    board = board_of()
    for number in range(1, 4):
        board.event(event(number))
    with serving(board) as (host, port, _):
        with ask(host, port, "/events") as answer:
            lines = [answer.readline() for _ in range(12)]
        ids = [line.split()[1].decode() for line in lines if line.startswith(b"id:")]
        assert len(ids) == 3
        with ask(host, port, "/events", **{"Last-Event-ID": ids[1]}) as answer:
            lines = [answer.readline() for _ in range(4)]
        assert lines[2].split()[1].decode() == ids[2]


def test_motion_over_the_network_ends_the_watch() -> None:
    board = board_of()
    with serving(board) as (host, port, _):
        with ask(host, port, "/cameras/door.mjpg") as answer:
            for number in range(2):
                board.people(frame(arrived=float(number)), [], 1.0)
                assert answer.readline() == b"--stgcn-frame\r\n"
                answer.readline()
                length = int(answer.readline().split()[1])
                answer.readline()
                assert shape_of(answer.read(length)) == (36, 64, 3)
                answer.readline()
            assert board._cameras["door"].watchers == 1
        waited = threading.Event()
        for _ in range(300):
            if not board._cameras["door"].watchers:
                break
            waited.wait(0.1)
        assert board._cameras["door"].watchers == 0
        assert board.picture("door") is None


def test_too_many_who_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgcn_deploy.live.page.app.MOST_MOTION", 1)
    monkeypatch.setattr("stgcn_deploy.live.page.app.MOST_NEWS", 1)
    with serving(board_of()) as (host, port, _):
        for path in ("/cameras/door.mjpg", "/events"):
            with ask(host, port, path) as first:
                assert first.status == 200
                with ask(host, port, path) as second:
                    assert second.status == 503
                    assert b"Too many" in second.read()


def test_stopping_with_clients_that_read_and_that_do_not() -> None:
    board = board_of()
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    with serving(board) as (host, port, server), ExitStack() as held:
        held.enter_context(ask(host, port, "/events"))
        stuck = held.enter_context(socket.create_connection((host, port)))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /cameras/door.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        held.enter_context(socket.create_connection((host, port)))
        for number in range(20):
            board.people(Frame("door", number, number, noise), [], number)
            threading.Event().wait(0.05)
        server.stop()
        ended("stgcn-page")
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=5)


def test_never_started_is_stopped_too() -> None:
    PageServer(PageSettings(), board_of(), Metrics(), lambda: (True, {}), alive=lambda: True).stop()


def test_port_in_use_says_what_to_do() -> None:
    with serving(board_of()) as (_, port, _server):
        second = PageServer(
            PageSettings(port=port), board_of(), Metrics(), lambda: (True, {}), alive=lambda: True
        )
        with pytest.raises(UsageError, match=rf"port {port} .* in use.*another port"):
            second.start()


@pytest.mark.parametrize("host", ["x" * 80, "203.0.113.7"])
def test_hosts_that_are_not_here(host: str) -> None:
    settings = PageSettings(host=host, port=0, token=TOKEN)
    server = PageServer(settings, board_of(), Metrics(), lambda: (True, {}), alive=lambda: True)
    with pytest.raises(UsageError, match=host):
        server.start()


def test_a_fault_of_ours_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> tuple[bool, dict[str, Any]]:
        raise ZeroDivisionError

    server = PageServer(PageSettings(port=0), board_of(), Metrics(), broken, alive=lambda: True)
    parts = urlsplit(server.start())
    assert parts.hostname
    assert parts.port
    try:
        with ask(parts.hostname, parts.port, "/readyz") as answer:
            assert answer.status == 500
    finally:
        server.stop()
    assert "the page failed on /readyz" in caplog.text
