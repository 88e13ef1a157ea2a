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

Floats = NDArray[np.float64]

# Two detections of one frame that are more alike than this are the same person, found twice.
TWICE = 0.85
# Of two that fit about as well, the one with the better score is taken: so much it counts.
UNSURE = 0.1
# A second candidate nearly as good as the one taken: the two may have been confused.
AMBIGUOUS = 0.8
# Speeds are averaged over about this many seconds.
STEADY = 0.1
# Joints that are not found are where they would be for so many seconds.
REMEMBERED = 0.5


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
    body: _Body | None = None
    doubtful: bool = False


class _Body:
    """How somebody stood when last seen, and which way they went."""

    def __init__(self, t: float, pose: Poses) -> None:
        self._pose = pose
        self._seen = t
        self._speed: Floats | None = None
        self._when = np.where(pose.seen, t, -np.inf)

    def expected(self, t: float) -> Poses:
        """Where they are at time `t` if they go on as they went."""
        if self._speed is None:
            return self._pose
        return self._pose.moved(self._speed * (t - self._seen))

    def update(self, t: float, pose: Poses) -> None:
        """Seen again, so."""
        both = self._pose.seen & pose.seen
        if both.any():
            step = (pose.points[both] - self._pose.points[both]).mean(axis=0)[None]
        else:
            step = (pose.corners - self._pose.corners).reshape(2, 2).mean(axis=0)[None]
        passed = t - self._seen
        speed = step / passed
        if self._speed is not None:
            speed = self._speed + (speed - self._speed) * (passed / (passed + STEADY))
        # Joints that were seen a moment ago go along: a pose of few joints says little.
        self._when[pose.seen] = t
        self._pose = pose.completed(self._pose.points + step, self._when >= t - REMEMBERED)
        self._speed, self._seen = speed, t


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
        worth = 1 - UNSURE + UNSURE * np.clip([one.score for one in detections], 0, 1)
        free = list(range(len(detections)))
        found: dict[int, Track] = {}
        counting = [one for one in self._matched if one.number is not None]
        others = [one for one in self._matched if one.number is None]
        for tracks in (counting, others):
            for track, index in self._assigned(t, tracks, poses, free, worth):
                assert track.body is not None
                track.body.update(t, poses.one(index))
                track.seen, track.sights = t, track.sights + 1
                free.remove(index)
                found[index] = track
        alike = similarity(poses, poses) > TWICE if free and len(detections) > 1 else None
        for index in free:
            if alike is not None and alike[index, list(found)].any():
                self.twice += 1
                continue
            found[index] = Track(t, t, body=_Body(t, poses.one(index)))
            self._matched.append(found[index])
        return [(track, detections[index]) for index, track in found.items()]

    def _assigned(
        self, t: float, tracks: list[Track], poses: Poses, free: list[int], worth: Floats
    ) -> list[tuple[Track, int]]:
        """Pairs of tracks and free detections, the most alike of all together."""
        if not tracks or not free:
            return []
        expected = Poses.joined([one.body.expected(t) for one in tracks if one.body is not None])
        alike = similarity(expected, poses)[:, free]
        # What is below the gate is worth nothing, so that it cannot spoil the choice of others.
        alike[alike < self._settings.min_match] = 0.0
        pairs: list[tuple[Track, int]] = []
        assigned = self._assign(alike * worth[free], maximize=True)
        for row, column in zip(*assigned, strict=True):
            if alike[row, column] > 0.0:
                self._doubt(tracks[row], alike[row], alike[row, column])
                pairs.append((tracks[row], free[column]))
        return pairs

    def _doubt(self, track: Track, row: Floats, taken: float) -> None:
        doubtful = int((row > AMBIGUOUS * taken).sum()) > 1
        self.suspects += doubtful and not track.doubtful
        track.doubtful = doubtful
