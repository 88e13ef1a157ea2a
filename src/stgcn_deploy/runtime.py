"""The run half's front: a bundle, loaded, that turns clips into actions.  Never needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session
from stgcn_deploy.backends.built import batches_of, model_file
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.errors import ClipError
from stgcn_deploy.manifest import Manifest
from stgcn_deploy.skeleton.contract import Sequence, apply_steps, raw_joints, with_clips
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.windows import Fit, fit_frames, pad_persons

__all__ = ["Action", "Model", "Prediction", "load"]

# Probabilities below it have no logarithm worth telling apart.
TINY = 1e-30


# Coordinates are pixels at the most; float32 products of larger numbers overflow.
MAX_VALUE = 1e9


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


def _log(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.log(np.maximum(shares, TINY))
    return out


class Model:
    """A bundle opened on a backend; a context manager; not thread-safe."""

    def __init__(
        self,
        manifest: Manifest,
        labels: tuple[str, ...],
        session: Session,
        batches: tuple[int, int] | None = None,
    ) -> None:
        self.manifest = manifest
        self.labels = labels
        self._session = session
        self._batches = batches or self._graph_batches()

    def _graph_batches(self) -> tuple[int, int | None]:
        """The smallest and the largest number of clips in one call of the graph; None: any."""
        clip = self.manifest.clip
        return (1, None) if "N" in clip.dynamic else (clip.batch, clip.batch)

    def predict(
        self,
        clip: NDArray[Any] | Recording,
        *,
        topk: int = 5,
        fit: Fit = "exact",
        raw: bool = False,
        image_size: tuple[int, int] | None = None,
        clips: int | None = None,
    ) -> Prediction:
        """Classify one clip.

        Args:
            clip: (M, T, V, C) numbers as the network sees them, joints in the bundle's layout; fewer
                persons than the bundle's M are filled with absent ones.
            topk: how many classes to name.
            fit: what to do with another number of frames, see skeleton.windows.fit_frames.
            raw: the numbers are a pose estimator's or a data set's: take the steps of the bundle's
                codebase first (normalise, sample frames, ...).  Files that are raw say so themselves.
            image_size: (W, H) of the image that raw coordinates are pixels of.
            clips: of a raw recording, how many to sample and average, for codebases that sample: None
                as many as the codebase tests with, 1 the middle of each part of the recording.

        Raises:
            ClipError: wrong shape, dtype, layout, or values that are not finite.
        """
        if topk < 1:
            raise ClipError(f"topk must be at least 1, got {topk}.")
        scores = self.scores_of(clip, fit=fit, raw=raw, image_size=image_size, clips=clips)
        order = np.argsort(-scores, kind="stable")[:topk]
        top = tuple(Action(self.labels[i], int(i), float(scores[i])) for i in order)
        return Prediction(top, scores)

    def scores_of(
        self,
        clip: NDArray[Any] | Recording,
        *,
        fit: Fit = "exact",
        raw: bool = False,
        image_size: tuple[int, int] | None = None,
        clips: int | None = None,
    ) -> NDArray[np.float32]:
        """Scores (classes,) of one recording, averaged over its clips; see predict.

        Raises:
            ClipError: see predict.
        """
        batch = self.prepare_clips(clip, fit=fit, raw=raw, image_size=image_size, clips=clips)
        return self._average(self.scores(batch))

    def prepare(
        self,
        clip: NDArray[Any] | Recording,
        *,
        fit: Fit = "exact",
        raw: bool = False,
        image_size: tuple[int, int] | None = None,
    ) -> NDArray[np.float32]:
        """One clip (M, T, V, C) as the network takes it: checked, prepared, fitted, padded.

        Raises:
            ClipError: see predict.
        """
        file = self._file(clip, raw=raw, image_size=image_size)
        clips = 1 if file.is_raw else None
        one: NDArray[np.float32] = self.prepare_clips(file, fit=fit, clips=clips)[0]
        return one

    def prepare_clips(
        self,
        clip: NDArray[Any] | Recording,
        *,
        fit: Fit = "exact",
        raw: bool = False,
        image_size: tuple[int, int] | None = None,
        clips: int | None = None,
    ) -> NDArray[np.float32]:
        """All clips (clips, M, T, V, C) that are scored for one recording; of prepared numbers one.

        Raises:
            ClipError: see predict.
        """
        if fit not in get_args(Fit):
            raise ClipError(f"unknown fit {fit!r}; known: {', '.join(get_args(Fit))}.")
        file = self._file(clip, raw=raw, image_size=image_size)
        values = self._checked(file)
        if file.is_raw:
            batch = self._steps(values, file, clips)
        elif clips is not None:
            raise ClipError(
                "several clips are sampled out of a raw recording; this one is taken as the network "
                "sees it. Say --raw (raw=True in Python) if it is a recording."
            )
        else:
            batch = values[None]
        return np.stack([self._fitted(one, fit) for one in batch])

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, classes) of prepared clips (N, M, T, V, C).

        Where the bundle, or the file that was built of it, has a fixed batch size, clips are run in
        groups of it; the last group is filled with zero clips, whose scores are dropped.
        """
        low, high = self._batches
        if not len(batch):
            return np.zeros((0, self.manifest.num_classes), np.float32)
        size = high or len(batch)
        parts = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            filled = np.pad(part, ((0, max(0, low - len(part))), *[(0, 0)] * 4))
            parts.append(self._run(filled)[: len(part)])
        return np.concatenate(parts)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._session.run(self.manifest.feed(batch))["output"]
        return out

    def _average(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of one recording out of those of its clips (clips, classes).

        Probabilities are averaged, as the codebases' tests do; logits become those of the averaged
        probabilities.
        """
        mean: NDArray[np.float32]
        if len(scores) == 1:
            mean = scores[0]
            return mean
        wide = scores.astype(np.float64)
        if self.manifest.output == "probabilities":
            out = wide.mean(axis=0)
        elif self.manifest.activation == "softmax":
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            out = _log((powers / powers.sum(axis=1, keepdims=True)).mean(axis=0))
        else:
            # Sigmoid: the log-odds of the mean, each tail by itself so that none is rounded away.
            yes, no = (np.exp(-np.logaddexp(0, sign * wide)).mean(axis=0) for sign in (-1, 1))
            out = _log(yes) - _log(no)
        mean = out.astype(np.float32)
        return mean

    # ---- clips -------------------------------------------------------------------------------

    def _file(
        self, clip: NDArray[Any] | Recording, *, raw: bool, image_size: tuple[int, int] | None
    ) -> Recording:
        """Numbers with what is said about them."""
        if isinstance(clip, Recording):
            file = clip
        else:
            try:
                file = Recording(np.asarray(clip))
            except ValueError:
                raise ClipError(
                    f"the clip is no regular array of numbers; the bundle expects {self._expected}."
                ) from None
        if image_size is not None and not (raw or file.is_raw):
            raise ClipError(
                "an image size is for raw clips, and this one is taken as the network sees it. Say "
                "--raw (raw=True in Python) if its coordinates are pixels."
            )
        if raw or image_size is not None:
            file = replace(file, raw=True, image_size=image_size or file.image_size)
        return file

    @property
    def _expected(self) -> str:
        size = self.manifest.clip
        return (
            f"({size.persons}, {size.frames}, {size.joints}, {size.channels}) = (M, T, V, C), joints "
            f"in layout {self.manifest.layout.name}"
        )

    def _steps(
        self, values: NDArray[np.float32], file: Recording, clips: int | None
    ) -> NDArray[np.float32]:
        """A raw recording through the codebase's steps: (clips, M, T, V, C)."""
        steps = self.manifest.steps
        contract = self.manifest.contract
        if not steps:
            raise ClipError(
                "the clip is raw, and this bundle does not know how its codebase "
                f"({self.manifest.source.codebase}) prepares such clips; in words: "
                f"{contract.preprocessing}. Give prepared numbers as .npy."
            )
        if clips is not None:
            steps = with_clips(steps, clips)
        # What overflows is refused below, in words.
        with np.errstate(over="ignore", invalid="ignore"):
            batch = apply_steps(steps, Sequence(values, None, file.image_size))
        size = self.manifest.clip
        if batch.shape[3:] != (size.joints, size.channels) or not np.isfinite(batch).all():
            raise ClipError(
                f"the raw clip of shape {values.shape} became {batch.shape[1:]} (values from "
                f"{batch.min():.4g} to {batch.max():.4g}), the bundle expects {self._expected}; it was "
                f"trained on: {contract.preprocessing}."
            )
        return batch

    def _fitted(self, values: NDArray[np.float32], fit: Fit) -> NDArray[np.float32]:
        """Frames and persons that the graph takes."""
        size = self.manifest.clip
        frames = size.dynamic.get("T", (size.frames, size.frames))
        low, high = size.dynamic.get("M", (size.persons, size.persons))
        values = fit_frames(values, frames, fit)
        if not low <= len(values) <= high:
            values = pad_persons(values, low if len(values) < low else high)
        return np.ascontiguousarray(values, dtype=np.float32)

    def _checked(self, file: Recording) -> NDArray[np.float32]:
        """The numbers, if they can be a clip of this bundle, or a recording for its steps."""
        clip, size = file.clip, self.manifest.clip
        if not np.issubdtype(clip.dtype, np.number) or np.iscomplexobj(clip):
            raise ClipError(f"the clip has dtype {clip.dtype}, expected numbers {self._expected}.")
        if clip.ndim != 4:
            raise ClipError(
                f"the clip has shape {clip.shape}, the bundle expects {self._expected}."
            )
        self._check_layout(file)
        if not file.is_raw and clip.shape[3] != size.channels:
            raise ClipError(
                f"the clip has {clip.shape[3]} channels (shape {clip.shape}), the bundle expects "
                f"{self._expected}; it was trained on: {self.manifest.contract.preprocessing}."
            )
        if not clip.size:
            raise ClipError(
                f"the clip is empty (shape {clip.shape}), the bundle expects {self._expected}."
            )
        usable = np.abs(clip.astype(np.float64)) <= MAX_VALUE  # false for NaN too
        if not usable.all():
            raise ClipError(
                f"the clip holds {int((~usable).sum())} NaN or infinite or too large value(s) (over "
                f"{MAX_VALUE:.0e}); set missing joints to 0, as training did."
            )
        return clip.astype(np.float32)

    def _check_layout(self, file: Recording) -> None:
        mine = self.manifest.layout.name
        if file.layout is not None:
            theirs = LAYOUTS[file.layout].name
            if mine is not None and theirs != mine:
                raise ClipError(
                    f"the clip is in layout {theirs}, the bundle expects {self._expected}."
                )
        joints, expected = file.clip.shape[2], self._expected
        wanted: tuple[int, ...] = (self.manifest.clip.joints,)
        if file.is_raw:
            wanted = raw_joints(self.manifest.steps, *wanted)
            expected = f"a raw clip (M, T, {' or '.join(map(str, wanted))}, C) of layout {mine}"
        if joints not in wanted:
            fitting = [name for name, layout in LAYOUTS.items() if layout.num_joints == joints]
            hint = f" (V={joints} is that of {', '.join(fitting)})" if fitting else ""
            raise ClipError(
                f"the clip has shape {file.clip.shape}{hint}, the bundle expects {expected}."
            )

    def close(self) -> None:
        """Release the runtime."""
        self._session.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def load(
    bundle: Path | str,
    *,
    backend: str = "onnxruntime",
    threads: int | None = None,
    batch: int | None = None,
) -> Model:
    """Open a bundle for prediction.

    Args:
        threads: threads inside one call; None leaves it to the runtime.
        batch: clips in one call, on backends whose files are built for a number of them: which file to
            open; None takes the smallest.

    Raises:
        BundleError: damaged or foreign; UnknownNameError: no such backend.
        MissingDependencyError: the backend's runtime is not installed.

    Example:
        with stgcn_deploy.load("bundle") as model:
            print(model.predict(clip).label)
    """
    opened = Bundle(bundle)
    file = model_file(opened, BACKENDS[backend], batch)
    batches = batches_of(opened.manifest, file.build) if file.build else None
    labels = opened.labels
    return Model(opened.manifest, labels, file.open(BACKENDS[backend], threads=threads), batches)
