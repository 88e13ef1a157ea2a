"""Everything that can be set of a live run, with the defaults; `config` reads it from YAML.

Times are in seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

__all__ = [
    "BatchSettings",
    "CameraSettings",
    "DecideSettings",
    "JsonlSettings",
    "LadderSettings",
    "LiveSettings",
    "MqttSettings",
    "PageSettings",
    "PoseSettings",
    "SinkSettings",
    "TrackSettings",
    "VideoSettings",
    "WebhookSettings",
    "WindowSettings",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Settings(BaseModel):
    """Unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSettings(_Settings):
    """One camera.

    Attributes:
        source: file, folder, webcam number or device, rtsp/http URL, tcp://host:port or "-" (key points).
        priority: cameras of low priority are slowed down first, and those of high priority last.
        fps: at most so many frames a second are looked at; None: all.
        loop: begin a file again at its end, as if it were a camera.
        realtime: read a file at the speed of its clock, newest frame only, as if it were a camera.
        timeout: without a frame for so long, a live source is lost.
        save: file to draw people and actions into (.mp4); None: none.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^/#+\s\x00-\x1f]+$")
    source: str = Field(min_length=1)
    priority: Literal["low", "normal", "high"] = "normal"
    fps: PositiveFloat | None = None
    loop: bool = False
    realtime: bool = False
    timeout: PositiveFloat = 5.0
    save: str | None = None


class PoseSettings(_Settings):
    """How people are found in images.

    Attributes:
        name: of the table of pose estimators.
        model: a file of the user's; None for those that are fetched.
        detector: of persons, a name of the table ("hog") or a file, for estimators that need one.
        layout: of a user's model where its file does not tell; None: the estimator's usual one.
        detector_every: the detector runs on every so many frames of a camera.
        score: persons below it are nobody.
        persons: at most so many in one frame.
        workers: threads; None: as many as there are cores, at most one for each camera.
    """

    name: str = "blazepose"
    model: str | None = None
    detector: str | None = None
    layout: str | None = None
    detector_every: PositiveInt = 5
    score: Share = 0.3
    persons: PositiveInt = 5
    workers: PositiveInt | None = None


class TrackSettings(_Settings):
    """How people are followed.

    Attributes:
        max_age: a person out of sight for so long is another one afterwards.
        confirm: sights before somebody counts; the first of them counts too, later.
        min_match: least similarity, 0 to 1, of a person and what is taken for them in the next frame.
    """

    max_age: PositiveFloat = 1.0
    confirm: PositiveInt = 2
    min_match: Share = 0.2


class WindowSettings(_Settings):
    """What the network looks at, and when.

    Attributes:
        stride: time between two windows of a person.
        min_fill: share of a window that lies after the first sight before it is looked at.
        max_gap: a longer time out of sight leaves a window without an answer; shorter ones are filled.
        fps: frames a second that the network was trained at; None: as the bundle says.
        mode: "person": each person by themself; "scene": all persons of a camera together; None: as the
            bundle has room for one person or for several.
    """

    stride: PositiveFloat = 1.0
    min_fill: Share = 0.5
    max_gap: NonNegativeFloat = 0.8
    fps: PositiveFloat | None = None
    mode: Literal["person", "scene"] | None = None


class BatchSettings(_Settings):
    """How windows of all cameras are run together.

    Attributes:
        max: windows in one call; None: as many as the bundle takes, at most 8.
        delay: a window waits at most so long for company.
        pending: at most so many wait; the oldest goes first.
        workers: calls at the same time, each with a session of its own.
    """

    max: PositiveInt | None = None
    delay: NonNegativeFloat = 0.02
    pending: PositiveInt = 256
    workers: PositiveInt = 1


class DecideSettings(_Settings):
    """When an action has begun and ended.

    Attributes:
        smoothing: time in which an older answer loses all but 1/e of its weight; 0: none.
        enter: smoothed probability from which on an action is going on.
        leave: below it, it has ended.
        min_duration: an action must have been over `enter` for so long.
        cool_down: the same action of the same person does not begin again within this time.
        update: time between two updates of an action that goes on; 0: none.
        ignore: labels that are no events ("stand").
        top: classes in an event.
    """

    smoothing: NonNegativeFloat = 1.0
    enter: Share = 0.6
    leave: Share = 0.4
    min_duration: NonNegativeFloat = 0.0
    cool_down: NonNegativeFloat = 2.0
    update: NonNegativeFloat = 0.0
    ignore: tuple[str, ...] = ()
    top: PositiveInt = 5


class LadderSettings(_Settings):
    """When and how far work is left out to keep up.

    Attributes:
        enabled: False: nothing is left out on purpose.
        high: a frame or window that has waited for so long is too much.
        low: all younger than this for `recover` seconds: a step back up.
        step: at most one step down in this time.
    """

    enabled: bool = True
    high: PositiveFloat = 0.2
    low: PositiveFloat = 0.08
    step: PositiveFloat = 2.0
    recover: PositiveFloat = 6.0


class JsonlSettings(_Settings):
    """Events line by line into a file, or "-" for standard output.

    Attributes:
        rotate_mb: a file of that size is renamed to NAME.1, NAME.1 to NAME.2, ...; keep: how many of them.
    """

    kind: Literal["jsonl"] = "jsonl"
    path: str
    rotate_mb: PositiveFloat = 64.0
    keep: PositiveInt = 5


class WebhookSettings(_Settings):
    """Events posted as JSON.

    Attributes:
        secret: signs the body: header X-Stgcn-Signature, "sha256=" and the HMAC in hex.
        spool: folder where events wait while the receiver is away; None: in memory, lost at the end.
    """

    kind: Literal["webhook"] = "webhook"
    url: str
    secret: str | None = None
    timeout: PositiveFloat = 5.0
    spool: str | None = None
    spool_mb: PositiveFloat = 64.0


class MqttSettings(_Settings):
    """Events to a broker: PREFIX/CAMERA/events, and PREFIX/CAMERA/state, retained."""

    kind: Literal["mqtt"] = "mqtt"
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password: str | None = None
    tls: bool = False
    prefix: str = "stgcn"


SinkSettings = Annotated[
    JsonlSettings | WebhookSettings | MqttSettings, Field(discriminator="kind")
]


class VideoSettings(_Settings):
    """How annotated videos are written (CameraSettings.save)."""

    fps: PositiveFloat = 25.0
    crf: Annotated[int, Field(ge=0, le=51)] = 28


class PageSettings(_Settings):
    """The page in the browser, with /metrics, /healthz and /readyz.

    Attributes:
        host: a host other than this machine itself needs a token.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token: str | None = Field(default=None, min_length=8)


class LiveSettings(_Settings):
    """A live run."""

    bundle: str
    cameras: tuple[CameraSettings, ...] = Field(min_length=1)
    backend: str | None = None
    threads: PositiveInt | None = None
    stale: PositiveFloat = 0.5
    pose: PoseSettings = PoseSettings()
    track: TrackSettings = TrackSettings()
    windows: WindowSettings = WindowSettings()
    batch: BatchSettings = BatchSettings()
    decide: DecideSettings = DecideSettings()
    ladder: LadderSettings = LadderSettings()
    video: VideoSettings = VideoSettings()
    sinks: tuple[SinkSettings, ...] = ()
    page: PageSettings | None = None
