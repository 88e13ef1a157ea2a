"""The run half's front: a bundle, loaded, that turns clips into actions.  Never needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, Session
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, Manifest
from stgcn_deploy.data.clips import ClipFile
from stgcn_deploy.errors import ClipError
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.transforms import prenormalize_2d
from stgcn_deploy.skeleton.windows import Fit, fit_frames, pad_persons

__all__ = ["Action", "Model", "Prediction", "load"]

# PYSKL hides joints whose score is at most this; MMAction2 keeps them.
PIXEL_CODEBASES = {"pyskl": 0.01, "mmaction2": None}


@dataclass(frozen=True)
class Action:
    """One class with its score: a probability, or a logit for bundles exported with --logits."""

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a clip shows.

    Attributes:
        top: the best classes, best first.
        scores: all of them, in index order.
    """

    top: tuple[Action, ...]
    scores: NDArray[np.float32]

    @property
    def label(self) -> str:
        """The best class."""
        return self.top[0].label

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"top": [asdict(action) for action in self.top], "scores": self.scores.tolist()}


class Model:
    """A bundle opened on a backend; a context manager; not thread-safe."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.labels = bundle.labels
        self._session = session

    def predict(
        self, clip: NDArray[Any] | ClipFile, *, topk: int = 5, fit: Fit = "exact"
    ) -> Prediction:
        """Classify one clip.

        Args:
            clip: (M, T, V, C) numbers as the network was trained on, joints in the bundle's layout;
                fewer persons than the bundle's M are filled with absent ones.
            topk: how many classes to name.
            fit: what to do with another number of frames, see skeleton.windows.fit_frames.

        Raises:
            ClipError: wrong shape, dtype, layout, or values that are not finite.
        """
        if topk < 1:
            raise ClipError(f"topk must be at least 1, got {topk}.")
        scores = self.scores(self.prepare(clip, fit=fit)[None])[0]
        order = np.argsort(-scores, kind="stable")[:topk]
        top = tuple(Action(self.labels[i], int(i), float(scores[i])) for i in order)
        return Prediction(top, scores)

    def prepare(self, clip: NDArray[Any] | ClipFile, *, fit: Fit = "exact") -> NDArray[np.float32]:
        """A clip (M, T, V, C) as the network takes it: checked, normalised, fitted, padded.

        Raises:
            ClipError: see predict.
        """
        file = clip if isinstance(clip, ClipFile) else ClipFile(np.asarray(clip))
        self._check(file)
        values = file.clip.astype(np.float32)
        if file.image_size is not None:
            values = self._normalise(values, file.image_size)
        size = self.manifest.clip
        frames = size.dynamic.get("T", (size.frames, size.frames))
        persons = size.dynamic.get("M", (size.persons, size.persons))
        values = fit_frames(values, frames, fit)
        if len(values) < persons[0] or len(values) > persons[1]:
            values = pad_persons(values, persons[0] if len(values) < persons[0] else persons[1])
        return np.ascontiguousarray(values, dtype=np.float32)

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, classes) of prepared clips (N, M, T, V, C).

        Where the bundle has a fixed batch size, clips are run in groups of it; the last group is
        filled with zero clips, whose scores are dropped.
        """
        size = self.manifest.clip.batch
        if "N" in self.manifest.clip.dynamic:
            return self._run(batch)
        parts = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            filled = np.pad(part, ((0, size - len(part)), *[(0, 0)] * 4))
            parts.append(self._run(filled)[: len(part)])
        return np.concatenate(parts)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._session.run(self.manifest.feed(batch))["output"]
        return out

    def _check(self, file: ClipFile) -> None:
        clip, size = file.clip, self.manifest.clip
        expected = (
            f"({size.persons}, {size.frames}, {size.joints}, {size.channels}) = (M, T, V, C), joints "
            f"in layout {self.manifest.layout.name}"
        )
        if not np.issubdtype(clip.dtype, np.number) or np.iscomplexobj(clip):
            raise ClipError(f"the clip has dtype {clip.dtype}, expected numbers {expected}.")
        if clip.ndim != 4:
            raise ClipError(f"the clip has shape {clip.shape}, the bundle expects {expected}.")
        self._check_layout(file, expected)
        if clip.shape[3] != size.channels:
            raise ClipError(
                f"the clip has {clip.shape[3]} channels (shape {clip.shape}), the bundle expects "
                f"{expected}; it was trained on: {self.manifest.contract.preprocessing}."
            )
        if not clip.size:
            raise ClipError(
                f"the clip is empty (shape {clip.shape}), the bundle expects {expected}."
            )
        if not np.isfinite(clip).all():
            bad = int((~np.isfinite(clip)).sum())
            raise ClipError(
                f"the clip holds {bad} NaN or infinite value(s); set missing joints to 0, as "
                "training did."
            )

    def _check_layout(self, file: ClipFile, expected: str) -> None:
        mine = self.manifest.layout.name
        if file.layout is not None:
            theirs = LAYOUTS[file.layout].name
            if mine is not None and theirs != mine:
                raise ClipError(f"the clip is in layout {theirs}, the bundle expects {expected}.")
        joints = file.clip.shape[2]
        if joints != self.manifest.clip.joints:
            fitting = [name for name, layout in LAYOUTS.items() if layout.num_joints == joints]
            hint = f" (V={joints} is that of {', '.join(fitting)})" if fitting else ""
            raise ClipError(
                f"the clip has shape {file.clip.shape}{hint}, the bundle expects {expected}."
            )

    def _normalise(
        self, values: NDArray[np.float32], image_size: tuple[int, int]
    ) -> NDArray[np.float32]:
        codebase = self.manifest.source.codebase
        if codebase not in PIXEL_CODEBASES:
            raise ClipError(
                "the clip is an annotation in pixels, and this bundle's codebase "
                f"({codebase}) normalises otherwise: {self.manifest.contract.preprocessing}. Give "
                "normalised values as .npy."
            )
        return prenormalize_2d(values, image_size, score_threshold=PIXEL_CODEBASES[codebase])

    def close(self) -> None:
        """Release the runtime."""
        self._session.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def load(bundle: Path | str, *, backend: str = "onnxruntime", threads: int | None = None) -> Model:
    """Open a bundle for prediction.

    Args:
        threads: threads inside one call; None leaves it to the runtime.

    Raises:
        BundleError: damaged or foreign; UnknownNameError: no such backend.
        MissingDependencyError: the backend's runtime is not installed.

    Example:
        with stgcn_deploy.load("bundle") as model:
            print(model.predict(clip).label)
    """
    opened = Bundle(bundle)
    return Model(opened, BACKENDS[backend].open(opened.model_path, OpenOptions(threads=threads)))
