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
# Somebody not seen for LOOSER seconds may be twice as far from where they are expected, and so on.
LOOSER, LOOSEST = 0.2, 3.0
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
    """How somebody stood when last seen (`pose`), and which way they went."""

    def __init__(self, t: float, pose: Poses) -> None:
        self.pose = pose
        self._seen = t
        self._speed: Floats | None = None
        self._when = np.where(pose.seen, t, -np.inf)

    def expected(self, t: float) -> Poses:
        """Where they are at time `t` if they go on as they went."""
        if self._speed is None:
            return self.pose
        return self.pose.moved(self._speed * (t - self._seen))

    def update(self, t: float, pose: Poses) -> None:
        """Seen again, so."""
        both = self.pose.seen & pose.seen
        if both.any():
            step = (pose.points[both] - self.pose.points[both]).mean(axis=0)[None]
        else:
            step = (pose.corners - self.pose.corners).reshape(2, 2).mean(axis=0)[None]
        passed = t - self._seen
        speed = step / passed
        if self._speed is not None:
            speed = self._speed + (speed - self._speed) * (passed / (passed + STEADY))
        # Joints that were seen a moment ago go along: a pose of few joints says little.
        self._when[pose.seen] = t
        self.pose = pose.completed(self.pose.points + step, self._when >= t - REMEMBERED)
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
        for everybody, loosely in ((counting, False), (counting, True), (others, False)):
            tracks = [one for one in everybody if one.seen != t]
            if not tracks or not free:
                continue
            alike = _loosely_alike(t, tracks, poses) if loosely else _alike(t, tracks, poses)
            for track, index in self._assigned(tracks, alike[:, free], free, worth[free]):
                assert track.body is not None
                track.body.update(t, poses.one(index))
                track.seen, track.sights = t, track.sights + 1
                free.remove(index)
                found[index] = track
        same = similarity(poses, poses) > TWICE if free and len(detections) > 1 else None
        for index in free:
            if same is not None and same[index, list(found)].any():
                self.twice += 1
                continue
            found[index] = Track(t, t, body=_Body(t, poses.one(index)))
            self._matched.append(found[index])
        return [(track, detections[index]) for index, track in found.items()]

    def _assigned(
        self, tracks: list[Track], alike: Floats, free: list[int], worth: Floats
    ) -> list[tuple[Track, int]]:
        """Pairs of tracks and free detections, the most alike (tracks, free) of all together."""
        # What is below the gate is worth nothing, so that it cannot spoil the choice of others; so is
        # what is compared with a box or a score that is no number.
        alike[~(alike >= self._settings.min_match)] = 0.0
        pairs: list[tuple[Track, int]] = []
        assigned = self._assign(np.nan_to_num(alike * worth), maximize=True)
        for row, column in zip(*assigned, strict=True):
            if alike[row, column] > 0.0:
                self._doubt(tracks[row], alike[row], alike[row, column])
                pairs.append((tracks[row], free[column]))
        return pairs

    def _doubt(self, track: Track, row: Floats, taken: float) -> None:
        doubtful = int((row > AMBIGUOUS * taken).sum()) > 1
        self.suspects += doubtful and not track.doubtful
        track.doubtful = doubtful


def _alike(t: float, tracks: list[Track], poses: Poses) -> Floats:
    """How well each detection fits to where each is expected, (tracks, detections)."""
    bodies = [one.body for one in tracks if one.body is not None]
    return similarity(Poses.joined([one.expected(t) for one in bodies]), poses)


def _loosely_alike(t: float, tracks: list[Track], poses: Poses) -> Floats:
    """The same for people who went otherwise than expected: who jumps, falls or turns round.

    They are near to where they were, too; and the longer nobody saw them, the farther they may be.
    """
    bodies = [one.body for one in tracks if one.body is not None]
    places = Poses.joined([one.expected(t) for one in bodies] + [one.pose for one in bodies])
    lost = np.array([[t - one.seen] for one in tracks] * 2)
    alike = similarity(places, poses, np.minimum(1 + lost / LOOSER, LOOSEST))
    out: Floats = alike.reshape(2, len(tracks), -1).max(axis=0)
    return out
