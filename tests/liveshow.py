"""Cameras that are drawn: synthetic people in made-up rooms, shown to a board as the pipeline would.

python tests/liveshow.py docs/pictures/live.png     the picture of the page in the docs
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from types import TracebackType
from typing import Any

import cv2  # noqa: TID253 - a helper of tests that draw
import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.synthetic import ACTIONS, ClipSettings
from stgcn_deploy.data.synthetic.sequences import ActionSequence, generate_sequence
from stgcn_deploy.live.board import Board
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.metrics import Metrics
from stgcn_deploy.live.observer import Observers
from stgcn_deploy.live.windows import Result, Window
from stgcn_deploy.skeleton.layouts import LAYOUTS

FPS = 25
SIZE = (640, 360)
LAYOUT = "mediapipe33"
# The parts of a body as they are filled: joints of mediapipe33.
TRUNK = (11, 12, 24, 23)
LEGS = ((23, 25, 27, 31), (24, 26, 28, 32))
ARMS = ((11, 13, 15, 19), (12, 14, 16, 20))

Image = NDArray[np.uint8]


def _shade(image: Image, top: int, bottom: int, colours: tuple[Any, Any]) -> None:
    share = np.linspace(0.0, 1.0, bottom - top)[:, None, None]
    rows = np.array(colours[0]) * (1 - share) + np.array(colours[1]) * share
    image[top:bottom] = rows.astype(np.uint8)


def _tiles(image: Image, horizon: int, colour: Any) -> None:
    wide, high = SIZE
    for x in range(-10 * wide, 11 * wide, 420):
        cv2.line(
            image, (wide // 2 + x // 14, horizon), (wide // 2 + x, high), colour, 1, cv2.LINE_AA
        )
    for step in (0.06, 0.16, 0.31, 0.53, 0.82):
        y = horizon + round(step * (high - horizon))
        cv2.line(image, (0, y), (wide, y), colour, 1, cv2.LINE_AA)


def _hall() -> Image:
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    _shade(image, 0, 215, ((206, 212, 220), (228, 231, 235)))
    _shade(image, 215, 360, ((176, 172, 166), (206, 203, 198)))
    _tiles(image, 215, (190, 187, 182))
    for x in (40, 176):
        cv2.rectangle(image, (x, 50), (x + 108, 215), (160, 196, 222), -1)
        cv2.rectangle(image, (x, 50), (x + 108, 215), (120, 130, 142), 4)
        cv2.line(image, (x + 54, 50), (x + 54, 215), (120, 130, 142), 3)
    cv2.rectangle(image, (520, 150), (606, 215), (136, 104, 78), -1)
    cv2.circle(image, (563, 118), 34, (92, 138, 96), -1, cv2.LINE_AA)
    cv2.circle(image, (546, 136), 22, (78, 122, 84), -1, cv2.LINE_AA)
    return image


def _yard() -> Image:
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    _shade(image, 0, 180, ((38, 48, 74), (88, 92, 116)))
    _shade(image, 180, 360, ((62, 64, 70), (86, 88, 94)))
    for x, wide, high in ((0, 120, 96), (130, 80, 66), (430, 90, 84), (528, 112, 112)):
        cv2.rectangle(image, (x, 180 - high), (x + wide, 180), (46, 50, 64), -1)
        for row in range(180 - high + 12, 172, 22):
            for column in range(x + 12, x + wide - 10, 24):
                lit = (228, 196, 120) if (row * 7 + column * 13) % 5 < 2 else (60, 66, 82)
                cv2.rectangle(image, (column, row), (column + 9, row + 10), lit, -1)
    for x in range(-260, 900, 150):
        cv2.line(image, (320 + (x - 320) // 3, 196), (x, 360), (150, 152, 156), 2, cv2.LINE_AA)
    glow = np.zeros_like(image)
    cv2.circle(glow, (330, 60), 120, (70, 60, 34), -1, cv2.LINE_AA)
    image = cv2.add(image, cv2.GaussianBlur(glow, (0, 0), 40))
    cv2.line(image, (330, 190), (330, 62), (34, 36, 42), 4, cv2.LINE_AA)
    cv2.circle(image, (330, 58), 6, (255, 240, 200), -1, cv2.LINE_AA)
    return image


def _person(image: Image, points: NDArray[np.float32], coat: Any, trousers: Any) -> None:
    spots = np.rint(points[:, :2]).astype(int)
    tall = max(20.0, float(np.ptp(points[:, 1])))
    foot = spots[27:33].max(axis=0)
    centre = (int(spots[[27, 28]].mean(axis=0)[0]), int(foot[1]))
    under = image.copy()
    cv2.ellipse(under, centre, (int(tall * 0.2), int(tall * 0.035)), 0, 0, 360, (30, 30, 34), -1)
    cv2.addWeighted(under, 0.35, image, 0.65, 0, dst=image)

    def limb(joints: Sequence[int], colour: Any, width: float) -> None:
        line = spots[list(joints)].reshape(-1, 1, 2)
        cv2.polylines(image, [line], False, colour, max(3, round(width * tall)), cv2.LINE_AA)

    for leg in LEGS:
        limb(leg, trousers, 0.085)
    trunk = spots[list(TRUNK)].reshape(-1, 1, 2)
    cv2.fillPoly(image, [trunk], coat, cv2.LINE_AA)
    cv2.polylines(image, [trunk], True, coat, max(3, round(0.07 * tall)), cv2.LINE_AA)
    for arm in ARMS:
        limb(arm, tuple(int(0.9 * value) for value in coat), 0.06)
    head = spots[[0, 7, 8]].mean(axis=0).astype(int)
    cv2.circle(
        image, tuple(head.tolist()), max(4, round(0.068 * tall)), (214, 176, 148), -1, cv2.LINE_AA
    )


class Actor:
    """Somebody who does one thing after another, for ever."""

    def __init__(self, script: Sequence[tuple[str, float]], *, seed: int, at: float, track: int):
        self.track = track
        self.sequence: ActionSequence = generate_sequence(
            script, seed=seed, settings=ClipSettings(noise=0.001, missing=0.0, occlusion=0.0)
        )
        self._clip = np.asarray(self.sequence.recording.clip[0], np.float32)
        self._at = at

    def points(self, index: int) -> NDArray[np.float32]:
        """Key points (V, 3) of a frame, in pixels of SIZE."""
        found = self._clip[index % len(self._clip)].copy()
        found[:, 0] = found[:, 0] * 0.75 + self._at * SIZE[0] - 240
        found[:, 1] = found[:, 1] * 0.75
        return found

    def doing(self, index: int) -> tuple[str, float]:
        """Label and score, as a network would see them."""
        now = (index % len(self._clip)) / FPS
        segments = self.sequence.segments
        here = next((one for one in segments if now < one.end), segments[-1])
        settled = min(1.0, max(0.0, (now - here.start) / 1.2))
        return here.action, 0.42 + 0.5 * settled + 0.03 * np.sin(index / 9 + self.track)


class Scene:
    """A camera with its background and its actors; without a background it sends key points alone."""

    def __init__(self, name: str, actors: Sequence[Actor], back: Image | None, coats: Any = ()):
        self.name = name
        self.actors = tuple(actors)
        self._back = back
        self._coats = coats

    def frame(self, index: int, now: float) -> tuple[Frame, list[Tracked]]:
        """What the camera sees at a time, and who is in it."""
        people = [
            Tracked(one.track, Detection(one.points(index), 0.97, _box(one.points(index))))
            for one in self.actors
        ]
        image = None
        if self._back is not None:
            image = self._back.copy()
            for one, (coat, trousers) in zip(self.actors, self._coats, strict=True):
                _person(image, one.points(index), coat, trousers)
        return Frame(self.name, now, now, image, size=SIZE), people


def _box(points: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x, y = points[:, :2].min(axis=0) - 14
    wide, high = np.ptp(points[:, :2], axis=0) + 28
    return float(x), float(y), float(wide), float(high)


def scenes() -> list[Scene]:
    """Three that give frames; "gate" is not among them."""
    return [
        Scene(
            "entrance",
            [
                Actor([("walk", 5), ("wave", 5)], seed=3, at=0.30, track=3),
                Actor([("stand", 4), ("pick_up", 6)], seed=21, at=0.66, track=4),
            ],
            _hall(),
            [((58, 92, 140), (54, 58, 70)), ((150, 70, 62), (70, 72, 84))],
        ),
        Scene(
            "car-park",
            [Actor([("walk", 4), ("fall", 6)], seed=5, at=0.52, track=1)],
            _yard(),
            [((196, 160, 84), (48, 52, 66))],
        ),
        Scene(
            "gym",
            [
                Actor([("punch", 5), ("jump", 5)], seed=11, at=0.34, track=7),
                Actor([("kick", 5), ("wave", 5)], seed=12, at=0.68, track=8),
            ],
            None,
        ),
    ]


class Show:
    """Feeds a board and metrics in a thread of its own, as the pipeline would."""

    def __init__(
        self, *, start: int = 0, until: int | None = None, gate: str = "refused, next try in 8 s"
    ) -> None:
        self.scenes = scenes()
        self.board = Board(
            [*(one.name for one in self.scenes), "gate"],
            edges=LAYOUTS.get(LAYOUT).edges,
            labels=ACTIONS,
        )
        self.metrics = Metrics()
        self._all = Observers([self.board, self.metrics])
        self._doing: dict[tuple[str, int | None], tuple[str, float]] = {}
        self.board.current = lambda camera, track: self._doing.get((camera, track))
        self._index = start
        # From this moment on everybody stands still.
        self._until = until
        self.held = Signal()
        self._events = 0
        self._stop = Signal()
        self._thread = Thread(target=self._run, name="show")
        for one in self.scenes:
            self._all.camera(one.name, "running", "")
        self._all.camera("gate", "backoff", gate)
        self._all.level(0, "")

    def __enter__(self) -> Show:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1 / FPS):
            self.step()

    def step(self) -> None:
        """One frame of each camera."""
        for number, scene in enumerate(self.scenes):
            now = time.monotonic()
            frame, people = scene.frame(self._index, now)
            self._all.frame(frame)
            self._all.people(frame, people, now + 0.016 + 0.006 * ((self._index * 7 + number) % 5))
            for actor in scene.actors:
                self._act(scene.name, actor, now)
            if (self._index + number) % 97 == 0:
                self._all.frame_dropped(scene.name, "replaced")
        if self._index == self._until:
            self.held.set()
        else:
            self._index += 1

    def before(self) -> None:
        """What happened in the seconds until now."""
        first, last = self._index - 2 * 10 * FPS, self._index
        for self._index in range(first, last):
            for scene in self.scenes:
                for actor in scene.actors:
                    self._act(scene.name, actor, time.monotonic(), (last - self._index) / FPS)
        self._index = last

    def _act(self, camera: str, actor: Actor, now: float, ago: float = 0.0) -> None:
        label, score = actor.doing(self._index)
        before = self._doing.get((camera, actor.track), ("", 0.0))
        self._doing[camera, actor.track] = (label, score)
        if self._index % FPS == 0:
            self.answer(camera, actor.track, label, score, now)
        if score >= 0.6 > before[1] and label != "stand":
            self.happened("action_start", camera, actor.track, label, score, ago)

    def answer(self, camera: str, track: int, label: str, score: float, now: float) -> None:
        """A window of a person and what the network says of it."""
        points = np.zeros((1, 1, 33, 3), np.float32)
        window = Window(camera, track, (track,), points, 1.0, 1.0, now - 6, now, now, now, SIZE)
        shares = np.full(len(ACTIONS), (1 - score) / (len(ACTIONS) - 1), np.float32)
        shares[ACTIONS.index(label)] = score
        self._all.batch(2)
        self._all.result(Result(window, shares, now + 0.11 + 0.02 * (self._index % 4)))

    def happened(
        self, kind: Any, camera: str, track: int | None, label: str, score: float, ago: float = 0.0
    ) -> None:
        """An event of some seconds ago."""
        self._events += 1
        now = time.time() - ago
        self._all.event(
            Event(
                f"e{self._events}",
                kind,
                camera,
                now,
                now,
                track,
                label,
                score,
                latency_ms=130.0 + 17 * (self._events % 5),
            )
        )


def take_picture(path: Path, *, width: int = 1300, height: int = 960, dark: bool = False) -> None:
    """The page in a browser, some seconds into the show."""
    from browser import Browser

    from stgcn_deploy.files import fresh_file
    from stgcn_deploy.live.page.server import PageServer
    from stgcn_deploy.live.settings import PageSettings

    show = Show(start=600, until=728)
    show.before()
    page = PageServer(
        PageSettings(port=0), show.board, show.metrics, lambda: (True, {}), alive=lambda: True
    )
    url = page.start()
    try:
        with (
            tempfile.TemporaryDirectory() as profile,
            show,
            Browser(Path(profile), width=width, height=height, dark=dark) as browser,
        ):
            browser.open(url)
            browser.until("document.querySelectorAll('img.picture:not([hidden])').length >= 2")
            show.held.wait()
            # The state follows the images by half a second.
            time.sleep(1.0)
            data = browser.picture()
    finally:
        page.stop()
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    # Nobody sees the last bits of a colour, and a third of the file is theirs.
    colours = np.minimum((colours.astype(np.uint16) + 2) // 4 * 4, 255).astype(np.uint8)
    with fresh_file(path, force=True) as partial:
        done, small = cv2.imencode(".png", colours, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        assert done
        partial.write_bytes(small.tobytes())


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]), dark="--dark" in sys.argv)
