"""Everything that can be set of a live run, with the defaults; `config` reads it from YAML.

Times are in seconds.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from stgcn_deploy.live.checked import Checked, conflict, matches, twice

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
    "is_loopback",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _webcam(value: Any) -> Any:
    """The number of a webcam is a number in YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class CameraSettings(Checked):
    """One camera.

    Attributes:
        name: in events, topics, metrics and on the page.
        source: file, folder, webcam number or device, rtsp/http URL, tcp://host:port or "-" (key points).
        priority: under load, low ones are all but given up at last, and high ones spared until then.
        fps: at most so many frames a second are looked at; None: all.
        loop: begin a file again at its end, as if it were a camera.
        realtime: read a file at the speed of its clock, newest frame only, as if it were a camera.
        timeout: without a frame for so long, a live source is lost.
        save: file to draw people and actions into (.mp4); None: none.
    """

    name: Annotated[
        str, matches(r"[^/#+\s\x00-\x1f]{1,64}", "1 to 64 characters without blanks, /, # and +")
    ]
    source: Annotated[str, BeforeValidator(_webcam), Field(min_length=1)]
    priority: Literal["low", "normal", "high"] = "normal"
    fps: PositiveFloat | None = None
    loop: bool = False
    realtime: bool = False
    timeout: PositiveFloat = 5.0
    save: Annotated[str, matches(r".*\.mp4", "a file name that ends in .mp4")] | None = None


class PoseSettings(Checked):
    """How people are found in images.

    Attributes:
        name: of the table of pose estimators.
        model: a file of the user's; None: the weights that are fetched.
        detector: of persons, a name of the table ("hog") or a file, for estimators that need one.
        layout: of a user's model where its file does not tell; None: the estimator's usual one.
        runtime: of BlazePose; "auto": OpenVINO where it is installed and runs, else LiteRT.
        detector_every: the detector runs on every so many frames of a camera.
        score: persons below it are nobody.
        persons: at most so many in one frame.
        workers: threads; None: as many as there are cores, at most one for each camera.
    """

    name: str = "blazepose"
    model: str | None = None
    detector: str | None = None
    layout: str | None = None
    runtime: Literal["auto", "openvino", "litert"] = "auto"
    detector_every: PositiveInt = 5
    score: Share = 0.3
    persons: PositiveInt = 5
    workers: PositiveInt | None = None


class TrackSettings(Checked):
    """How people are followed.

    Attributes:
        max_age: a person out of sight for so long is another one afterwards.
        confirm: sights before somebody counts; the first of them counts too, later.
        min_match: least similarity, 0 to 1, of a person and what is taken for them in the next frame.
    """

    max_age: PositiveFloat = 1.0
    confirm: PositiveInt = 2
    min_match: Share = 0.2


class WindowSettings(Checked):
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


class BatchSettings(Checked):
    """How windows of all cameras are run together.

    Attributes:
        max: windows in one call; None: as many as the bundle takes, at most 8.
        delay: a window waits at most so long for company.
        pending: at most so many wait; the oldest goes first.
        workers: calls at the same time, each with a session of its own.
        per_camera: a session for each camera instead, as one CUDA stream for each camera; more memory, and
            no batches of several cameras.
    """

    max: PositiveInt | None = None
    delay: NonNegativeFloat = 0.02
    pending: PositiveInt = 256
    workers: PositiveInt = 1
    per_camera: bool = False


class DecideSettings(Checked):
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

    @model_validator(mode="after")
    def _leave_is_lower(self) -> DecideSettings:
        if self.leave > self.enter:
            raise conflict(f"leave is {self.leave:g}, expected at most enter, {self.enter:g}")
        return self


class LadderSettings(Checked):
    """When and how far work is left out to keep up.

    Attributes:
        enabled: False: nothing is left out on purpose.
        high: a camera or window that waits so long for its turn is too much: three frames of 25 a second.
        low: less than this is little, and never too much.
        step: at most one step down in this time.
        recover: after so long with little waiting, a step back up.
    """

    enabled: bool = True
    high: PositiveFloat = 0.12
    low: PositiveFloat = 0.05
    step: PositiveFloat = 2.0
    recover: PositiveFloat = 6.0

    @model_validator(mode="after")
    def _low_is_lower(self) -> LadderSettings:
        if self.low >= self.high:
            raise conflict(f"low is {self.low:g}, expected less than high, {self.high:g}")
        return self


class JsonlSettings(Checked):
    """Events line by line into a file, or "-" for standard output.

    Attributes:
        path: of the file, or "-".
        rotate_mb: a file of that size is renamed to NAME.1, NAME.1 to NAME.2, ...
        keep: so many of them.
    """

    kind: Literal["jsonl"] = "jsonl"
    path: str
    rotate_mb: PositiveFloat = 64.0
    keep: PositiveInt = 5


class WebhookSettings(Checked):
    """Events posted as JSON.

    Attributes:
        url: where to; http or https.
        secret: signs the body: header X-Stgcn-Signature, "sha256=" and the HMAC in hex.
        timeout: of one try.
        spool: folder where events wait while the receiver is away; None: in memory, lost at the end.
        spool_mb: when it is fuller, the oldest events go.
    """

    kind: Literal["webhook"] = "webhook"
    url: str
    secret: str | None = Field(default=None, min_length=1, repr=False)
    timeout: PositiveFloat = 5.0
    spool: str | None = None
    spool_mb: PositiveFloat = 64.0


class MqttSettings(Checked):
    """Events to a broker: PREFIX/CAMERA/events, and PREFIX/CAMERA/state, retained.

    Attributes:
        host, port: of the broker.
        username, password: None: the broker lets anybody in.
        tls: encrypt; the usual port is 8883 then.
        prefix: of the topics.
    """

    kind: Literal["mqtt"] = "mqtt"
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    tls: bool = False
    prefix: str = "stgcn"


SinkSettings = Annotated[
    JsonlSettings | WebhookSettings | MqttSettings, Field(discriminator="kind")
]


class VideoSettings(Checked):
    """How annotated videos are written (`save` of a camera).

    Attributes:
        fps: of the file; frames are repeated or left out to fit.
        height: larger pictures are made smaller, which costs far less than writing them.
        crf: 0 to 51; larger numbers are smaller files and worse pictures.
    """

    fps: PositiveFloat = 25.0
    height: Annotated[int, Field(ge=16, le=4320)] = 720
    crf: Annotated[int, Field(ge=0, le=51)] = 28


class PageSettings(Checked):
    """The page in the browser, with /metrics, /healthz and /readyz.

    Attributes:
        host: where it is served; another host than this machine itself needs a token.
        port: 0: any that is free.
        token: who has it may look; at least 8 characters.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token: str | None = Field(default=None, min_length=8, repr=False)

    @model_validator(mode="after")
    def _others_need_a_token(self) -> PageSettings:
        if self.token is None and not is_loopback(self.host):
            raise conflict(
                f"host is {self.host}, which others can reach, and there is no token; set token, or "
                "leave host at 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class LiveSettings(Checked):
    """A live run.

    Attributes:
        bundle: directory of the network.
        cameras: at least one.
        backend, threads: how the bundle is opened; None: as it was made for, as the runtime chooses.
        stale: a frame of a camera that has waited for so long is not looked at any more.
        near: take stand-ins for joints that a source has not (the nose for the head).
        sinks: where events go.
        page: None: no page.
    """

    bundle: str
    cameras: tuple[CameraSettings, ...] = Field(min_length=1)
    backend: str | None = None
    threads: PositiveInt | None = None
    stale: PositiveFloat = 0.5
    near: bool = False
    pose: PoseSettings = PoseSettings()
    track: TrackSettings = TrackSettings()
    windows: WindowSettings = WindowSettings()
    batch: BatchSettings = BatchSettings()
    decide: DecideSettings = DecideSettings()
    ladder: LadderSettings = LadderSettings()
    video: VideoSettings = VideoSettings()
    sinks: tuple[SinkSettings, ...] = ()
    page: PageSettings | None = None

    @model_validator(mode="after")
    def _each_has_its_own(self) -> LiveSettings:
        name = twice(camera.name for camera in self.cameras)
        if name is not None:
            raise conflict(f"two cameras are called {name!r}; names tell them apart in all events")
        if sum(camera.source == "-" for camera in self.cameras) > 1:
            raise conflict('two cameras read standard input, "-"; it can be read once')
        files = [camera.save for camera in self.cameras if camera.save is not None]
        files += [sink.path for sink in self.sinks if isinstance(sink, JsonlSettings)]
        file = twice(files)
        if file is not None:
            raise conflict(f"{file!r} is written to twice; give each its own file")
        return self
