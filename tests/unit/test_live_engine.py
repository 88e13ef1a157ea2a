"""Windows through the bundle's own preparation and its network; one bad window costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stgcn_deploy import api
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import BackendError, ClipError
from stgcn_deploy.live.engine import Engine, probabilities
from stgcn_deploy.live.observer import Observer
from stgcn_deploy.live.windows import Window

RNG = np.random.default_rng(3)


def window(frames: int = 20, camera: str = "a", track: int = 1) -> Window:
    clip = RNG.normal(0, 1, (2, frames, 18, 3)).astype(np.float32)
    return Window(camera, track, (track,), clip, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)


class Told(Observer):
    def __init__(self) -> None:
        self.drops: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self.stages: list[str] = []

    def window_dropped(self, camera: str, reason: Any) -> None:
        self.drops.append((camera, reason))

    def batch(self, size: int) -> None:
        self.batches.append(size)

    def stage(self, stage: Any, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(stage)


def as_is(one: Window) -> Recording:
    return Recording(one.clip)


def test_it_answers_as_predict_does(example: Callable[..., Any]) -> None:
    told, windows = Told(), [window(track=1), window(track=2), window(frames=11, track=3)]
    with api.load(example("stgcn", dynamic="batch").bundle) as model:
        results = Engine(model, as_is, told).run(windows)
        expected = [model.scores_of(one.clip, fit="pad") for one in windows]
    for result, scores, one in zip(results, expected, windows, strict=True):
        assert result.window is one
        np.testing.assert_allclose(result.probabilities, scores, atol=1e-6)
        assert result.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert told.batches == [3]
    assert told.stages == ["prepare", "model"]


def test_lengths_that_the_network_takes_are_not_mixed(example: Callable[..., Any]) -> None:
    told = Told()
    windows = [window(20, track=1), window(30, track=2), window(20, track=3)]
    with api.load(example("stgcn", dynamic="batch,frames").bundle) as model:
        results = Engine(model, as_is, told).run(windows)
        for result in results:
            expected = model.scores_of(result.window.clip, fit="pad")
            np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    assert sorted(told.batches) == [1, 2]
    assert {result.window.track for result in results} == {1, 2, 3}


class Picky:
    """A network that breaks on a clip that holds a 7."""

    def __init__(self, manifest: Any) -> None:
        self.manifest = manifest
        self.calls = 0

    def prepare(self, clip: Recording, *, fit: str) -> np.ndarray:
        if (clip.clip == 8).any():
            raise ClipError("no clip")
        return clip.clip

    def scores(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        if (batch == 7).any():
            raise BackendError("it broke")
        return np.full((len(batch), 2), 0.5, np.float32)

    def close(self) -> None:
        pass


def test_a_window_that_breaks_the_network_is_dropped_and_the_others_are_answered(
    example: Callable[..., Any],
) -> None:
    with api.load(example().bundle) as model:
        manifest = model.manifest
    told, windows = Told(), [window(camera=name) for name in "abcd"]
    windows[1].clip[0, 0, 0, 0] = 7
    windows[3].clip[0, 0, 0, 0] = 8
    results = Engine(Picky(manifest), as_is, told).run(windows)  # type: ignore[arg-type]
    assert [one.window.camera for one in results] == ["a", "c"]
    assert sorted(told.drops) == [("b", "failed"), ("d", "failed")]


def test_logits_become_probabilities(example: Callable[..., Any]) -> None:
    with api.load(example("stgcn", logits=True).bundle) as model:
        manifest = model.manifest
    logits = np.array([[1.0, 3.0, -200.0]], np.float32)
    soft = probabilities(logits, manifest)
    np.testing.assert_allclose(soft[0, :2], [1 / (1 + np.e**2), np.e**2 / (1 + np.e**2)], rtol=1e-5)
    single = probabilities(logits, manifest.model_copy(update={"activation": "sigmoid"}))
    np.testing.assert_allclose(single[0], 1 / (1 + np.exp(-logits[0].astype(float))), atol=1e-7)
    as_they_are = manifest.model_copy(update={"output": "probabilities"})
    assert probabilities(soft, as_they_are) is soft
