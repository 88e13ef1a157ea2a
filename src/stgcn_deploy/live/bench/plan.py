"""What one run of the benchmark is to do; travels to the child process as JSON."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from stgcn_deploy.live.settings import (
    BatchSettings,
    CameraSettings,
    LadderSettings,
    LiveSettings,
    PoseSettings,
    WindowSettings,
)

__all__ = ["BenchPlan", "Fault", "FaultKind", "camera_name"]

FaultKind = Literal["killed", "frozen", "corrupt", "refused"]
DAY = 86_400.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(_Strict):
    """What one camera does wrong, and when.

    Attributes:
        start, end: seconds from the end of the warm-up.
    """

    camera: Annotated[int, Field(ge=0)]
    kind: FaultKind
    start: NonNegativeFloat
    end: PositiveFloat


class BenchPlan(_Strict):
    """One run.

    Attributes:
        cameras: how many.
        contender: "live" is the pipeline, "naive" a queue and a loop, see naive.
        data: file of recordings to replay; None: synthetic motion.
        clips: video files to play, decoded as they are; None: key points.
        streams: addresses of real cameras, one for each; then fps, jitter, loss and pauses are theirs, and
            faults only say when they do wrong.
        persons: in front of each camera; of synthetic motion.
        fps: frames a second of each camera, whatever its material was recorded at.
        jitter: frames come up to so much later than they were taken, seconds.
        loss: share of frames that never come.
        pause_every, pause: all that often a camera is silent for `pause` seconds, and then sends at once
            what it kept.
        warmup, duration: seconds; nothing counts before the warm-up is over.
        threads: of one call of the network; workers: calls at the same time; pose_workers: threads of the
            pose stage.  None: as `stgcn live` does.
        ladder: leave work out under overload.
        most_mb: a run that takes more memory is ended.
        kept: raw samples of each kind in the outcome.
    """

    bundle: str
    cameras: Annotated[int, Field(ge=1, le=4096)]
    contender: Literal["live", "naive"] = "live"
    data: str | None = None
    clips: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    persons: Annotated[int, Field(ge=1, le=64)] = 1
    fps: Annotated[float, Field(gt=0, le=240)] = 25.0
    jitter: NonNegativeFloat = 0.0
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    pause_every: PositiveFloat | None = None
    pause: NonNegativeFloat = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    stride: PositiveFloat = 1.0
    model_fps: PositiveFloat | None = None
    warmup: Annotated[float, Field(ge=0, le=DAY)] = 10.0
    duration: Annotated[float, Field(gt=0, le=DAY)] = 60.0
    backend: str | None = None
    threads: PositiveInt | None = None
    workers: PositiveInt | None = None
    pose_workers: PositiveInt | None = None
    pose: str = "blazepose"
    pose_model: str | None = None
    ladder: bool = False
    faults: tuple[Fault, ...] = ()
    most_mb: PositiveFloat = 4096.0
    kept: PositiveInt = 5000

    @property
    def images(self) -> bool:
        """Whether people have to be found first."""
        return bool(self.clips or self.streams)

    @property
    def counts_itself(self) -> bool:
        """Whether what cameras give is known: not of real ones, nor of those that do wrong."""
        return not self.streams and not self.faults

    @property
    def windows_expected(self) -> float:
        """How many windows fall due if everybody is seen all the time."""
        return self.cameras * self.persons * self.duration / self.stride

    def times(self, factor: float) -> int:
        """So many times the cameras, at least one more where the factor is above 1."""
        return max(ceil(self.cameras * factor - 1e-9), self.cameras + (factor > 1))

    def settings(self) -> LiveSettings:
        """As `stgcn live` would be told."""
        return LiveSettings(
            bundle=self.bundle,
            cameras=tuple(
                CameraSettings(name=camera_name(number), source="simulated")
                for number in range(self.cameras)
            ),
            backend=self.backend,
            threads=self.threads,
            pose=PoseSettings(name=self.pose, model=self.pose_model, workers=self.pose_workers),
            windows=WindowSettings(stride=self.stride, fps=self.model_fps),
            batch=BatchSettings() if self.workers is None else BatchSettings(workers=self.workers),
            ladder=LadderSettings(enabled=self.ladder),
        )


def camera_name(number: int) -> str:
    """Of camera `number`, from 0."""
    return f"cam{number:03d}"
