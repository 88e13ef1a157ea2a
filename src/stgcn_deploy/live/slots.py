"""Where frames wait between the threads that capture them and those that look for people in them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import Literal

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.observer import FrameDrop, Observer

__all__ = ["Intake", "Priority"]

Priority = Literal["low", "normal", "high"]

# Of an image only the newest is worth looking at.  Key points are small and cost nothing to keep, and
# what follows them is indexed by time: the more of them the better.
LIVE_IMAGES = 1
LIVE_KEYPOINTS = 32
# Of files every frame counts; so many wait, for the threads to work side by side.
FILE_FRAMES = 4
# Seconds that a camera of high priority is ahead of a normal one, and that one of a low one.  A head
# start instead of a strict order: a camera of low priority comes later, but it does come.
HEAD_START = {"high": 0.5, "normal": 0.0, "low": -0.5}


@dataclass
class _Slot:
    """What waits of one camera.

    Attributes:
        since: when the oldest thing arrived that came after the camera was last taken.  It stays when
            newer frames replace older ones: else a camera that is often replaced would never be the one
            that has waited longest.
        held: a worker has its frames; no other may have newer ones.
    """

    live: bool
    head_start: float
    room: Condition
    frames: deque[Frame] = field(default_factory=deque)
    since: float | None = None
    held: bool = False
    removed: bool = False

    @property
    def depth(self) -> int:
        if not self.live:
            return FILE_FRAMES
        images = bool(self.frames) and self.frames[-1].persons is None
        return LIVE_IMAGES if images else LIVE_KEYPOINTS


class Intake:
    """Frames of all cameras on their way to the workers; safe for any number of threads.

    A camera's frames are taken by one worker at a time, in their order, and no other worker has that
    camera until it is given back with `done`.

    Args:
        stale: a live camera's frame that has waited for longer is not looked at.
        clock: what `Frame.arrived` is measured by.
    """

    def __init__(
        self, observer: Observer, *, stale: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observer = observer
        self._stale = stale
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._lock = Lock()
        # Takers wait here, and nobody else: who fills a slot waits for its own `room`.
        self._ready = Condition(self._lock)
        self._closed = False
        # Removed while a worker had them: one that is added again under the same name waits for that.
        self._leaving: set[str] = set()

    def add(self, camera: str, *, live: bool, priority: Priority = "normal") -> None:
        """Make a place for a camera.

        Raises:
            UsageError: there is one of that name.
        """
        with self._lock:
            if camera in self._slots:
                raise UsageError(f"two cameras are called {camera!r}; give each its own name.")
            slot = _Slot(live, HEAD_START[priority], Condition(self._lock))
            slot.held = camera in self._leaving
            self._slots[camera] = slot

    def remove(self, camera: str) -> None:
        """Take a camera's place away, with what waits in it."""
        with self._lock:
            slot = self._slots.pop(camera, None)
            if slot is None:
                return
            if slot.held:
                self._leaving.add(camera)
            left = self._empty(slot)
        self._tell(camera, left, "stopping")

    def put(self, frame: Frame) -> bool:
        """Hand a frame over; of a file, wait until there is room.

        Returns:
            Whether it was taken in; not after `close` or `remove`.
        """
        camera, replaced = frame.camera, 0
        with self._lock:
            slot = self._slots.get(camera)
            while slot is not None and self._full(slot):
                slot.room.wait()
            refused = slot is None or slot.removed or self._closed
            if slot is not None and not refused:
                replaced = self._append(slot, frame)
                if not slot.held:
                    self._ready.notify()
        self._tell(camera, 1 if refused else 0, "stopping")
        self._tell(camera, replaced, "replaced")
        return not refused

    def take(self, timeout: float | None = None) -> list[Frame]:
        """All that waits of the camera that has waited longest, which is then held until `done`.

        Args:
            timeout: seconds to wait for something; None: until there is something, or `close`.

        Returns:
            Frames of one camera in their order; empty after `close`, or when nothing came in time.
        """
        end = None if timeout is None else self._clock() + timeout
        stale: list[str] = []
        try:
            with self._lock:
                while True:
                    now = self._clock()
                    slot = None if self._closed else self._choose(now, stale)
                    if slot is not None:
                        return self._hold(slot)
                    left = None if end is None else end - now
                    if self._closed or (left is not None and left <= 0):
                        return []
                    self._ready.wait(left)
        finally:
            for camera in stale:
                self._observer.frame_dropped(camera, "stale")

    def done(self, camera: str) -> None:
        """Give a camera back that `take` gave."""
        with self._lock:
            self._leaving.discard(camera)
            slot = self._slots.get(camera)
            if slot is not None:
                slot.held = False
                if slot.frames:
                    self._ready.notify()

    def close(self) -> None:
        """No more frames: wakes whoever waits, and lets go of what waits."""
        left: dict[str, int] = {}
        with self._lock:
            self._closed = True
            for camera, slot in self._slots.items():
                left[camera] = self._empty(slot, removed=False)
            self._ready.notify_all()
        for camera, count in left.items():
            self._tell(camera, count, "stopping")

    def depth(self) -> int:
        """How many frames wait."""
        with self._lock:
            return sum(len(slot.frames) for slot in self._slots.values())

    def oldest_age(self, now: float) -> float:
        """How long the longest-waiting frame of a live camera has waited; 0 where none waits."""
        with self._lock:
            arrived = [one.frames[0].arrived for one in self._slots.values() if self._waits(one)]
        return max((now - one for one in arrived), default=0.0)

    def idle(self) -> bool:
        """Whether nothing waits and no worker holds a camera."""
        with self._lock:
            busy = any(slot.frames or slot.held for slot in self._slots.values())
            return not busy and not self._leaving

    @staticmethod
    def _waits(slot: _Slot) -> bool:
        return slot.live and bool(slot.frames)

    def _full(self, slot: _Slot) -> bool:
        waits = not slot.live and len(slot.frames) >= slot.depth
        return waits and not (slot.removed or self._closed)

    @staticmethod
    def _append(slot: _Slot, frame: Frame) -> int:
        """Add it, and how many had to go for it."""
        slot.frames.append(frame)
        if slot.since is None:
            slot.since = frame.arrived
        replaced = 0
        while slot.live and len(slot.frames) > slot.depth:
            slot.frames.popleft()
            replaced += 1
        return replaced

    def _choose(self, now: float, stale: list[str]) -> _Slot | None:
        """The camera whose turn it is; names of cameras whose frames are too old go to `stale`."""
        best: tuple[float, _Slot] | None = None
        for camera, slot in self._slots.items():
            if slot.held:
                continue
            while slot.live and slot.frames and now - slot.frames[0].arrived > self._stale:
                slot.frames.popleft()
                stale.append(camera)
            if not slot.frames:
                slot.since = None
                continue
            waits = slot.frames[0].arrived if slot.since is None else slot.since
            if best is None or waits - slot.head_start < best[0]:
                best = (waits - slot.head_start, slot)
        return None if best is None else best[1]

    @staticmethod
    def _hold(slot: _Slot) -> list[Frame]:
        frames = list(slot.frames)
        slot.frames.clear()
        slot.since = None
        slot.held = True
        slot.room.notify_all()
        return frames

    @staticmethod
    def _empty(slot: _Slot, *, removed: bool = True) -> int:
        left = len(slot.frames)
        slot.frames.clear()
        slot.removed = removed
        slot.room.notify_all()
        return left

    def _tell(self, camera: str, count: int, reason: FrameDrop) -> None:
        for _ in range(count):
            self._observer.frame_dropped(camera, reason)
