"""Who has which place M in the windows of a scene."""

from __future__ import annotations

from collections.abc import Sequence

from stgcn_deploy.live.track import Track

__all__ = ["Seats"]


class Seats:
    """A place for each of the first M people.

    Who has one keeps it.  Those who leave keep theirs too, so that what they did stays in the window, until
    it is too long ago or somebody else needs the place.

    Attributes:
        taken: by place; None where it is empty.
    """

    def __init__(self, places: int) -> None:
        self.taken: list[Track | None] = [None] * places
        self._left: set[Track] = set()

    @property
    def tracks(self) -> list[Track]:
        """Everybody who has a place."""
        return [one for one in self.taken if one is not None]

    def leave(self, track: Track) -> bool:
        """Somebody is gone; whether they had a place, and so keep it for now."""
        seated = track in self.taken
        if seated:
            self._left.add(track)
        return seated

    def update(self, ranked: Sequence[Track], oldest: float) -> list[Track]:
        """Give free places away; returns those who are out for good.

        Args:
            ranked: everybody there, who comes first first.
            oldest: those who left and were not seen since are out.
        """
        out = [one for one in self._left if one.seen < oldest]
        for one in out:
            self._clear(self.taken.index(one))
        waiting = [one for one in ranked if one not in self.taken and one not in out]
        free = [place for place, one in enumerate(self.taken) if one is None]
        left = [place for place, one in enumerate(self.taken) if one in self._left]
        for place, one in zip(free + left, waiting, strict=False):
            out += self._clear(place)
            self.taken[place] = one
        return out

    def reset(self) -> list[Track]:
        """Nobody has a place; returns those who had."""
        return [one for place in range(len(self.taken)) for one in self._clear(place)]

    def _clear(self, place: int) -> list[Track]:
        track = self.taken[place]
        self.taken[place] = None
        if track is None:
            return []
        self._left.discard(track)
        return [track]
