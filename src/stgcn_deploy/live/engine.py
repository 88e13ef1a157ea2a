"""Windows into probabilities: the bundle's own preparation, then its network, on any backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.windows import Result, Window
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.skeleton.windows import Fit

__all__ = ["Engine", "Scorer", "probabilities"]


class Scorer(Protocol):
    """What an engine needs of runtime.Model."""

    manifest: Manifest

    def prepare(self, clip: Recording, *, fit: Fit) -> NDArray[np.float32]:
        """One clip (M, T, V, C) as the network takes it."""

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, classes) of prepared clips (N, M, T, V, C)."""

    def close(self) -> None:
        """Release the runtime."""


class Engine:
    """One session with what stands before and behind it; used by one thread.

    Args:
        recording: the camera's key points as a recording of the bundle's layout.
    """

    def __init__(
        self,
        model: Scorer,
        recording: Callable[[Window], Recording],
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._recording = recording
        self._observer = observer
        self._clock = clock

    def run(self, windows: Sequence[Window]) -> list[Result]:
        """What the windows show; one that the network cannot take is dropped, and the others are not.

        Recordings are prepared by the same code as for `stgcn eval`, a short one filled with zero frames.
        """
        start = self._clock()
        ready: list[tuple[Window, NDArray[np.float32]]] = []
        for window in windows:
            try:
                ready.append((window, self._model.prepare(self._recording(window), fit="pad")))
            except StgcnError:
                self._observer.window_dropped(window.camera, "failed")
        prepared = self._clock()
        self._observer.stage("prepare", prepared - start)
        if not ready:
            return []
        # With an open T or M, clips of one length at a time.
        shapes: dict[tuple[int, ...], list[tuple[Window, NDArray[np.float32]]]] = {}
        for pair in ready:
            shapes.setdefault(pair[1].shape, []).append(pair)
        found = [one for group in shapes.values() for one in self._scored(group)]
        done = self._clock()
        self._observer.stage("model", done - prepared)
        for group in shapes.values():
            self._observer.batch(len(group))
        return [Result(window, scores, done) for window, scores in found]

    def close(self) -> None:
        """Release the session."""
        self._model.close()

    def _scored(
        self, ready: list[tuple[Window, NDArray[np.float32]]]
    ) -> list[tuple[Window, NDArray[np.float32]]]:
        manifest = self._model.manifest
        try:
            scores = self._model.scores(np.stack([clip for _, clip in ready]))
        except StgcnError:
            # One of them may be the cause: the others get their answer.
            if len(ready) == 1:
                self._observer.window_dropped(ready[0][0].camera, "failed")
                return []
            return [one for pair in ready for one in self._scored([pair])]
        shares = probabilities(scores, manifest)
        return [(window, row) for (window, _), row in zip(ready, shares, strict=True)]


def probabilities(scores: NDArray[np.float32], manifest: Manifest) -> NDArray[np.float32]:
    """Scores (N, classes) of a bundle as probabilities."""
    if manifest.output == "probabilities":
        return scores
    wide = scores.astype(np.float64)
    if manifest.activation == "softmax":
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        out = powers / powers.sum(axis=1, keepdims=True)
    else:
        out = np.exp(-np.logaddexp(0, -wide))
    shares: NDArray[np.float32] = out.astype(np.float32)
    return shares
