"""The live page in a real browser: what stands there, what its console says, what it does not run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")
pytest.importorskip("uvicorn")

from browser import PATIENCE, Browser, find_browser
from liveshow import Show

from stgcn_deploy.live.events import Event
from stgcn_deploy.live.page.server import PageServer
from stgcn_deploy.live.settings import PageSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_browser() is None, reason="needs Chromium or Chrome, which is not installed here"
    ),
]
TOKEN = "open-sesame-4711"
NASTY = '<img src=x onerror="document.title=1">'
SHOWN = "document.querySelectorAll('img.picture:not([hidden])').length"


@contextmanager
def looking(
    tmp_path: Path, show: Show, *, query: str = "", token: str | None = None, **options: Any
) -> Iterator[tuple[Browser, PageServer, str]]:
    page = PageServer(
        PageSettings(port=0, token=token), show.board, show.metrics, lambda: (True, {}),
        alive=lambda: True,
    )  # fmt: skip
    with ExitStack() as held:
        url = page.start()
        held.callback(page.stop)
        held.enter_context(show)
        browser = held.enter_context(Browser(tmp_path, **options))
        browser.open(url + query)
        yield browser, page, url


def eventually(true: Callable[[], bool]) -> None:
    """Wait for what happens in other threads."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def card(name: str, selector: str) -> str:
    """JavaScript: an element of a camera's card."""
    named = f"(one) => one.querySelector('.name').textContent === {name!r}"
    cards = "[...document.querySelectorAll('.card')]"
    return f"{cards}.find({named}).querySelector({selector!r})"


def texts(selector: str) -> str:
    """JavaScript: what stands in all elements of a kind."""
    return f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)"


def test_cameras_actions_and_events_are_seen(tmp_path: Path) -> None:
    show = Show(start=600)
    show.before()
    with looking(tmp_path, show) as (browser, _, _url):
        browser.until(f"{SHOWN} === 2")
        assert browser.value("[...document.querySelectorAll('.name')].map((one) => one.textContent)") == [
            "entrance", "car-park", "gym", "gate",
        ]  # fmt: skip
        assert browser.until(card("entrance", ".state .text") + ".textContent") == "running"
        assert browser.value(card("gate", ".state .text") + ".textContent") == "reconnecting"
        assert "refused" in browser.value(card("gate", ".reason") + ".textContent")
        actions = {"walk", "fall", "wave", "stand", "pick_up"}
        assert browser.until(card("car-park", ".person .what") + "?.textContent") in actions
        assert browser.value(card("car-park", ".person .share") + ".textContent").endswith("%")
        assert "car-park" in browser.value(card("car-park", "img") + ".alt")
        assert browser.until("document.querySelector('#events .what')?.textContent")
        assert browser.until("document.querySelector('#total-cameras').textContent") == "3 of 4"
        # Key points are drawn in the page.
        browser.until(f"!{card('gym', 'canvas')}.hidden")
        browser.until(
            f"(({card('gym', 'canvas')}).getContext('2d').getImageData(0, 0, "
            f"{card('gym', 'canvas')}.width, {card('gym', 'canvas')}.height).data.some((one) => one))"
        )
        assert browser.console == []


@pytest.mark.parametrize("query", ["", "?still=1"])
def test_one_camera_is_enlarged_and_goes_on(tmp_path: Path, query: str) -> None:
    with looking(tmp_path, Show(), query=query) as (browser, page, _url):
        motion = page._app.motion
        browser.until(f"{SHOWN} === 2")
        image = card("entrance", "img")
        browser.value(card("entrance", ".enlarge") + ".click()")
        pressed = browser.value(card("entrance", ".enlarge") + ".getAttribute('aria-pressed')")
        assert pressed == "true"
        if not query:
            browser.until(f"{image}.src.includes('.mjpg') && {image}.naturalWidth === 640")
            eventually(lambda: motion.taken == 1)
        browser.value(card("entrance", ".enlarge") + ".click()")
        before = browser.until(f"{image}.src.includes('.jpg') && {image}.src")
        browser.until(f"{image}.src !== {before!r}")
        eventually(lambda: motion.taken == 0)
        assert browser.console == []


def test_events_arrive_while_the_page_is_open(tmp_path: Path) -> None:
    show = Show()
    with looking(tmp_path, show) as (browser, _, _url):
        browser.until("document.querySelectorAll('.card').length === 4")
        show.happened("action_start", "gate", 9, "somersault", 0.87)
        browser.until(texts("#events .what") + ".includes('somersault')")
        assert browser.value("document.querySelector('#no-events').hidden") is True


def test_names_and_labels_are_text(tmp_path: Path) -> None:
    show = Show(gate=NASTY)
    show.board.current = lambda camera, track: (NASTY, 0.9)
    with looking(tmp_path, show) as (browser, _, _url):
        now = time.time()
        show.board.event(Event("x", "action_start", NASTY, now, now, 1, NASTY, 0.9, reason=NASTY))
        show.board.level(2, NASTY)
        for selector in (".person .what", "#events .what", ".reason", "#level .text"):
            browser.until(texts(selector) + ".some((one) => one.includes('<img src=x'))")
        assert browser.value("document.querySelectorAll('img[src=x], [onerror]').length") == 0
        assert browser.value("document.title") == "stgcn live"
        assert browser.console == []


def test_a_run_that_ends_is_said_and_comes_back(tmp_path: Path) -> None:
    show = Show()
    with looking(tmp_path, show) as (browser, page, url):
        browser.until("document.querySelectorAll('.card').length === 4")
        page.stop()
        browser.until("!document.querySelector('#banner').hidden")
        assert "No connection" in browser.value("document.querySelector('#banner').textContent")
        again = PageServer(
            PageSettings(port=int(url.rstrip("/").rpartition(":")[2])), show.board, show.metrics,
            lambda: (True, {}), alive=lambda: True,
        )  # fmt: skip
        again.start()
        try:
            browser.until("document.querySelector('#banner').hidden")
        finally:
            again.stop()


def test_token_opens_the_page_and_leaves_the_address(tmp_path: Path) -> None:
    with looking(tmp_path, Show(), query=f"?token={TOKEN}", token=TOKEN) as (browser, _, url):
        browser.until(f"{SHOWN} === 2")
        assert TOKEN not in browser.value("location.href")
        assert TOKEN not in browser.value("document.documentElement.outerHTML + document.cookie")
        browser.open(url)
        browser.until(f"{SHOWN} === 2")
        assert browser.console == []


def test_a_phone_scrolls_in_one_direction(tmp_path: Path) -> None:
    with looking(tmp_path, Show(), width=360, height=740) as (browser, _, _url):
        browser.until("document.querySelectorAll('.card').length === 4")
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.value("document.querySelector('.card').clientWidth > 300")


def test_nothing_is_drawn_for_a_page_that_is_closed(tmp_path: Path) -> None:
    show = Show()
    with looking(tmp_path, show) as (browser, _, _url):
        browser.until(f"{SHOWN} === 2")
        assert show.board._cameras["entrance"].watchers > 0
        browser.open("about:blank")
        eventually(lambda: not show.board._cameras["entrance"].watchers)
        assert show.board.picture("entrance") is None
