"""Everybody in front of one camera: followed, remembered, and cut into windows when these are due."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np

from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.observer import Observer, WindowDrop
from stgcn_deploy.live.ring import Resampled, TrackRing
from stgcn_deploy.live.scheduler import Beat, phase_of
from stgcn_deploy.live.seats import Seats
from stgcn_deploy.live.settings import TrackSettings, WindowSettings
from stgcn_deploy.live.similarity import box_of
from stgcn_deploy.live.track import Track, Tracker
from stgcn_deploy.live.windows import Window

__all__ = ["People", "WindowShape"]

# Shares of frames are products of floats.
SLACK = 1e-9
# Frames without a person that are remembered of them.
MISSED = 512
# Detections of one frame that are looked at: matching takes the square of them.
MOST_DETECTIONS = 100


@dataclass(frozen=True)
class WindowShape:
    """What the network takes: T `frames` at `fps`, M `persons`; and whose windows are made."""

    fps: float
    frames: int
    persons: int
    mode: Literal["person", "scene"]


class _Memory:
    """What is kept of somebody: sights, times of frames without them, when the next window is due."""

    def __init__(self, ring: TrackRing) -> None:
        self.ring = ring
        self.missed: deque[float] = deque(maxlen=MISSED)
        self.beat: Beat | None = None


class People:
    """Everybody in front of one camera.  Not thread-safe: one worker at a time.

    Attributes:
        stride: seconds between two windows of a person, or of the scene; may be set at any time.
        most: only so many people get windows, those longest in sight; None: all; may be set at any time.
        late: frames left out because they were not newer than the one before.
        empty: detections left out because no joint was found.
        surplus: detections left out because a frame had too many.
        crowded: windows of a scene that had no room for everybody.
    """

    def __init__(
        self,
        camera: str,
        shape: WindowShape,
        windows: WindowSettings,
        track: TrackSettings,
        observer: Observer,
        phase: float = 0.0,
    ) -> None:
        self.camera = camera
        self.stride = windows.stride
        self.most: int | None = None
        self.late = 0
        self.empty = 0
        self.surplus = 0
        self.crowded = 0
        self._shape = shape
        self._settings = windows
        self._observer = observer
        self._phase = phase
        self._tracker = Tracker(track)
        self._memory: dict[Track, _Memory] = {}
        self._seats = Seats(shape.persons)
        self._scene: Beat | None = None
        self._last = -np.inf
        self._seam = -np.inf
        self._size: tuple[int, int] | None = None
        self._gone: list[int] = []

    @property
    def suspects(self) -> int:
        """How often two people may have been confused with each other."""
        return self._tracker.suspects

    def update(
        self, frame: Frame, detections: Sequence[Detection], now: float
    ) -> tuple[list[Tracked], list[Window]]:
        """Who is in a newer frame, and the windows that are due with it.

        Args:
            now: when this is asked, monotonic clock.
        """
        t = frame.t
        if not t > self._last:
            self.late += 1
            return [], []
        if frame.size is not None and frame.size != self._size:
            # Pixels of one picture are no pixels of another.
            self.reset()
            self._size = frame.size
        if t - self._last > self._settings.max_gap:
            self._seam = t
        self._last = t
        sights = self._tracker.update(t, self._shown(detections))
        self._forget(self._tracker.ended())
        for track, one in sights:
            self._remember(t, track, one)
        for track, memory in self._memory.items():
            if track.seen != t:
                memory.missed.append(t)
        seen = {track: one for track, one in sights if track.number is not None}
        people = [Tracked(track.number or 0, one) for track, one in seen.items()]
        make = self._persons if self._shape.mode == "person" else self._everybody
        return people, make(frame, seen, now)

    def gone(self) -> list[int]:
        """Numbers of the people who were given up since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def reset(self) -> None:
        """Begin anew: everybody is gone; numbers are not used again."""
        self._tracker.reset()
        self._forget(self._tracker.ended())
        self._drop(self._seats.reset())
        self._scene = None

    def _shown(self, detections: Sequence[Detection]) -> list[Detection]:
        """The detections that show somebody; joints that are no numbers are joints not found."""
        shown = []
        for one in detections:
            fine = np.isfinite(one.keypoints)
            if fine.all():
                usable = one
            else:
                found = fine.all(axis=-1, keepdims=True)
                usable = replace(one, keypoints=np.where(found, one.keypoints, np.float32(0)))
            if usable.keypoints.any():
                shown.append(usable)
            else:
                self.empty += 1
        if len(shown) > MOST_DETECTIONS:
            self.surplus += len(shown) - MOST_DETECTIONS
            shown = sorted(shown, key=lambda one: -one.score)[:MOST_DETECTIONS]
        return shown

    def _remember(self, t: float, track: Track, one: Detection) -> None:
        memory = self._memory.get(track)
        if memory is None:
            seconds = self._shape.frames / self._shape.fps + self._settings.max_gap
            memory = self._memory[track] = _Memory(TrackRing(seconds, *one.keypoints.shape))
        memory.ring.append(t, one.keypoints)

    def _forget(self, ended: Sequence[Track]) -> None:
        for track in ended:
            if track.number is not None:
                self._gone.append(track.number)
            if not self._seats.leave(track):
                self._drop([track])

    def _drop(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            self._memory.pop(track, None)

    def _counting(self) -> list[Track]:
        return [one for one in self._memory if one.number is not None]

    def _chosen(self, tracks: Sequence[Track]) -> list[Track]:
        """Those longest in sight."""
        return self._ranked(tracks)[: self.most]

    @staticmethod
    def _ranked(tracks: Sequence[Track]) -> list[Track]:
        return sorted(tracks, key=lambda one: (one.born, one.number or 0))

    def _first(self, born: float, *names: object) -> float:
        """When the first window of somebody first seen at `born` is due."""
        needed = max(ceil(self._settings.min_fill * self._shape.frames - SLACK), 1)
        phase = (phase_of(self.camera, *names) + self._phase) % 1.0
        return born + (needed - 1) / self._shape.fps + phase * self.stride

    def _persons(self, frame: Frame, seen: dict[Track, Detection], now: float) -> list[Window]:
        """A window of each person who is due."""
        windows = []
        for track in self._chosen(self._counting()):
            memory = self._memory[track]
            if memory.beat is None:
                memory.beat = Beat(self._first(track.born, track.number))
            if track in seen and memory.beat.due(frame.t, self.stride):
                windows += self._of_person(frame, track, seen[track], now)
        return windows

    def _of_person(self, frame: Frame, track: Track, one: Detection, now: float) -> list[Window]:
        memory = self._memory[track]
        part = self._resampled(memory.ring, memory.ring.unbroken_since(self._settings.max_gap))
        if not self._filled(len(part.clip)):
            whole = self._resampled(memory.ring, -np.inf)
            self._refused("gap" if self._filled(len(whole.clip)) else "underfilled")
            return []
        sights = memory.ring.sights(part.t0, frame.t)
        missed = sum(part.t0 <= t <= frame.t for t in memory.missed)
        assert track.number is not None
        window = Window(
            camera=self.camera,
            track=track.number,
            tracks=(track.number,),
            clip=part.clip[None],
            fill=len(part.clip) / self._shape.frames,
            valid_ratio=sights / (sights + missed),
            t0=part.t0,
            t1=frame.t,
            arrived=frame.arrived,
            due=now,
            size=frame.size,
            box=box_of(one),
        )
        self._observer.window(window)
        return [window]

    def _everybody(self, frame: Frame, seen: dict[Track, Detection], now: float) -> list[Window]:
        """The window of the scene, if it is due and somebody of it is there."""
        oldest = frame.t - (self._shape.frames - 1) / self._shape.fps - self._settings.max_gap
        self._drop(self._seats.update(self._ranked(self._counting()), oldest))
        seated = self._seats.tracks
        if not any(one in seen for one in seated):
            return []
        if self._scene is None:
            self._scene = Beat(self._first(min(one.born for one in seated)))
        if not self._scene.due(frame.t, self.stride):
            return []
        self.crowded += len(seen.keys() - set(seated)) > 0
        shown = self._chosen(seated)
        rings = {one: self._memory[one].ring for one in shown}
        parts = {one: self._resampled(ring, self._seam) for one, ring in rings.items()}
        length = max(len(part.clip) for part in parts.values())
        if not self._filled(length):
            wholes = [self._resampled(ring, -np.inf) for ring in rings.values()]
            filled = any(self._filled(len(whole.clip)) for whole in wholes)
            self._refused("gap" if filled else "underfilled")
            return []
        places = self._seats.taken
        joints = next(iter(parts.values())).clip.shape[1:]
        clip = np.zeros((len(places), length, *joints), np.float32)
        anybody = np.zeros(length, bool)
        for place, one in enumerate(places):
            if one is not None and one in parts:
                # All end with the newest frame; those who came later begin with nothing.
                begin = length - len(parts[one].clip)
                clip[place, begin:] = parts[one].clip
                anybody[begin:] |= parts[one].valid
        window = Window(
            camera=self.camera,
            track=None,
            tracks=tuple(one.number or 0 if one in parts else 0 for one in places),
            clip=clip,
            fill=length / self._shape.frames,
            valid_ratio=float(anybody.mean()),
            t0=frame.t - (length - 1) / self._shape.fps,
            t1=frame.t,
            arrived=frame.arrived,
            due=now,
            size=frame.size,
        )
        self._observer.window(window)
        return [window]

    def _resampled(self, ring: TrackRing, since: float) -> Resampled:
        shape = self._shape
        gap = self._settings.max_gap
        return ring.resampled(self._last, shape.fps, shape.frames, gap, since=since)

    def _filled(self, length: int) -> bool:
        return length > 0 and length >= self._settings.min_fill * self._shape.frames - SLACK

    def _refused(self, reason: WindowDrop) -> None:
        self._observer.window_dropped(self.camera, reason)
