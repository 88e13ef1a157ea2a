"""Who is who from frame to frame of one camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import requires
from stgcn_deploy.live.frames import Detection
from stgcn_deploy.live.settings import TrackSettings
from stgcn_deploy.live.similarity import Poses, similarity

__all__ = ["Track", "Tracker"]

# Two detections of one frame that are more alike than this are the same person, found twice.
TWICE = 0.85
# A second candidate nearly as good as the one taken: the two may have been confused.
AMBIGUOUS = 0.8
# Speeds are averaged over about this many seconds.
STEADY = 0.1


@dataclass(eq=False)
class Track:
    """Somebody who is being followed.

    Attributes:
        number: given once they count; None until then.
        born, seen: time of the first and of the newest sight.
        id: of the source, where it follows people by itself.
    """

    born: float
    seen: float
    id: int | None = None
    number: int | None = None
    sights: int = 1
    pose: Poses | None = None
    speed: NDArray[np.float64] | None = None
    doubtful: bool = False

    def expected(self, t: float) -> Poses:
        """Where they are at time `t` if they go on as they went."""
        assert self.pose is not None
        return self.pose if self.speed is None else self.pose.moved(self.speed * (t - self.seen))

    def matched(self, t: float, pose: Poses) -> None:
        """Seen again, so."""
        assert self.pose is not None
        both = self.pose.seen & pose.seen
        if both.any():
            step = (pose.points[both] - self.pose.points[both]).mean(axis=0)
        else:
            step = (pose.corners - self.pose.corners)[0].reshape(2, 2).mean(axis=0)
        passed = t - self.seen
        speed = step[None] / passed
        share = 1.0 if self.speed is None else passed / (passed + STEADY)
        self.speed = speed if self.speed is None else self.speed + (speed - self.speed) * share
        self.pose = pose


class Tracker:
    """Follows the people of one camera; told the time, keeps no clock.

    People whom the source follows (`Detection.id`) count at once, under a number of ours for as long as
    they are not out of sight for `max_age`.  The others are matched: where each is expected, by the boxes
    and the joints, the best assignment of all; those who count choose before those who do not yet.

    Attributes:
        twice: detections left out as the same person found twice.
        suspects: how often two people may have been confused with each other.
    """

    def __init__(self, settings: TrackSettings) -> None:
        with requires("following people", 'pip install "stgcn-deploy[live]"'):
            from scipy.optimize import linear_sum_assignment
        self._assign = linear_sum_assignment
        self._settings = settings
        self._named: dict[int, Track] = {}
        self._matched: list[Track] = []
        self._ended: list[Track] = []
        self._number = 0
        self.twice = 0
        self.suspects = 0

    @property
    def tracks(self) -> list[Track]:
        """Everybody who is followed, in the order of their first sight."""
        return sorted([*self._named.values(), *self._matched], key=lambda one: one.born)

    def ended(self) -> list[Track]:
        """Those who were given up since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def reset(self) -> None:
        """Everybody is given up."""
        self._ended += self.tracks
        self._named.clear()
        self._matched.clear()

    def update(self, t: float, detections: Sequence[Detection]) -> list[tuple[Track, Detection]]:
        """Who is in the frame of time `t`; those who do not count yet (`number` None) are among them."""
        self._age(t)
        sights: dict[int, tuple[Track, Detection]] = {}
        loose: list[Detection] = []
        for one in detections:
            if one.id is None:
                loose.append(one)
            elif one.id in sights:
                self.twice += 1
            else:
                sights[one.id] = (self._by_id(t, one.id), one)
        found = list(sights.values())
        if loose:
            found += self._match(t, loose)
        for track, _ in found:
            wanted = 1 if track.id is not None else self._settings.confirm
            if track.number is None and track.sights >= wanted:
                self._number += 1
                track.number = self._number
        return found

    def _age(self, t: float) -> None:
        old = [one for one in self.tracks if t - one.seen > self._settings.max_age]
        if old:
            self._ended += old
            self._matched = [one for one in self._matched if one not in old]
            self._named = {id_: one for id_, one in self._named.items() if one not in old}

    def _by_id(self, t: float, id_: int) -> Track:
        track = self._named.get(id_)
        if track is None:
            track = self._named[id_] = Track(t, t, id_)
        else:
            track.seen, track.sights = t, track.sights + 1
        return track

    def _match(self, t: float, detections: list[Detection]) -> list[tuple[Track, Detection]]:
        detections = sorted(detections, key=lambda one: -one.score)
        poses = Poses.of(detections)
        free = self._once(poses)
        found: list[tuple[Track, Detection]] = []
        counting = [one for one in self._matched if one.number is not None]
        others = [one for one in self._matched if one.number is None]
        for tracks in (counting, others):
            for track, index in self._assigned(t, tracks, poses, free):
                track.matched(t, poses.one(index))
                track.seen, track.sights = t, track.sights + 1
                free.remove(index)
                found.append((track, detections[index]))
        for index in free:
            track = Track(t, t, pose=poses.one(index))
            self._matched.append(track)
            found.append((track, detections[index]))
        return found

    def _once(self, poses: Poses) -> list[int]:
        """The detections without those that show somebody again, with a lower score."""
        if len(poses) == 1:
            return [0]
        alike = similarity(poses, poses) > TWICE
        kept: list[int] = []
        for index in range(len(poses)):
            if not alike[index, kept].any():
                kept.append(index)
        self.twice += len(poses) - len(kept)
        return kept

    def _assigned(
        self, t: float, tracks: list[Track], poses: Poses, free: list[int]
    ) -> list[tuple[Track, int]]:
        """Pairs of tracks and free detections, the most alike of all together."""
        if not tracks or not free:
            return []
        expected = Poses.joined([one.expected(t) for one in tracks])
        alike = similarity(expected, poses)[:, free]
        # What is below the gate is worth nothing, so that it cannot spoil the choice of others.
        alike[alike < self._settings.min_match] = 0.0
        pairs: list[tuple[Track, int]] = []
        for row, column in zip(*self._assign(alike, maximize=True), strict=True):
            if alike[row, column] > 0.0:
                self._doubt(tracks[row], alike[row], alike[row, column])
                pairs.append((tracks[row], free[column]))
        return pairs

    def _doubt(self, track: Track, row: NDArray[np.float64], taken: float) -> None:
        doubtful = int((row > AMBIGUOUS * taken).sum()) > 1
        self.suspects += doubtful and not track.doubtful
        track.doubtful = doubtful
