"""RTMPose as MMDeploy exports it (pose-detection_simcc_onnxruntime): one person at a time, SimCC.

simcc_x (N, V, bins), simcc_y (N, V, bins), two bins for a pixel.  Pixels: RGB, normalised with ImageNet's
mean and deviation.  Source: MMPose's configs/body_2d_keypoint/rtmpose and projects/rtmpose.

Who is where says a person detector; between its runs each person is looked for where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Box, Detection, Frame
from stgcn_deploy.live.pose.crop import Crop
from stgcn_deploy.live.pose.detector import PersonDetector
from stgcn_deploy.live.pose.detectors import open_detector
from stgcn_deploy.live.pose.found import Found, box_of
from stgcn_deploy.live.pose.joint_orders import pick_joints
from stgcn_deploy.live.pose.nms import nms, overlaps
from stgcn_deploy.live.pose.onnx_model import OnnxModel
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.pose.simcc import simcc_joints
from stgcn_deploy.live.pose.whole_image import model_file
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["RtmPose", "make"]

USUAL = (192, 256)
PIXELS = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
# The box around joints is tighter than a detector's around the person.
AROUND = 1.25
# Fewer joints than this are no place to look for somebody.
FEWEST = 3
# Two people whose boxes share more are one, found twice; a box that shares more with somebody who is
# followed is theirs.
SAME, THEIRS = 0.8, 0.3


def make(settings: PoseSettings) -> RtmPose:
    """The user's RTMPose with the detector that the settings name.

    Raises:
        FileUnreadableError, BackendError: see OnnxModel.
        UsageError: no file or no detector is named, the outputs are not SimCC's, or the joints not the
            layout's.
    """
    path = model_file(settings)
    detector = open_detector(settings)
    try:
        return RtmPose(settings, OnnxModel(path, usual=USUAL), detector)
    except BaseException:
        detector.close()
        raise


@dataclass
class _Followed:
    """People of a camera.

    Attributes:
        epoch, size: of the frame that they were seen in; another one has nothing to do with it.
        age: frames since the detector ran.
    """

    epoch: int
    size: tuple[int, int]
    age: int = 0
    boxes: list[Box] = field(default_factory=list)


@dataclass(frozen=True)
class _Piece:
    """Somebody to look for: which frame of the call, where in it, and that cut out."""

    place: int
    crop: Crop
    image: NDArray[np.uint8]


class RtmPose:
    """See Pose."""

    def __init__(self, settings: PoseSettings, model: OnnxModel, detector: PersonDetector) -> None:
        self.name = settings.name
        self.detector_every = settings.detector_every
        self.unusable = 0
        self._model = model
        self._detector = detector
        self._least, self._most = settings.score, settings.persons
        self._followed: dict[str, _Followed] = {}
        self._lock = Lock()
        try:
            self._x, self._y = _outputs(model)
            joints = model.shapes[self._x][0]
            self.layout, self._order = pick_joints(str(model.path), joints, settings.layout)
        except BaseException:
            model.close()
            raise

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """See Pose."""
        people: list[tuple[Detection, ...]] = [()] * len(frames)
        left = list(range(len(frames)))
        while left:
            # Of each camera one at a time: where people were in the last frame is known after it.
            cameras = {frames[place].camera: place for place in reversed(left)}
            now = sorted(cameras.values())
            left = [place for place in left if place not in now]
            for place, found in self._look(frames, now).items():
                people[place] = found
        return people

    def _look(self, frames: Sequence[Frame], now: list[int]) -> dict[int, tuple[Detection, ...]]:
        pieces = [piece for place in now for piece in self._pieces(frames[place], place)]
        if not pieces:
            return {}
        blob = PIXELS.blob(np.stack([piece.image for piece in pieces]), self._model.dtype)
        outputs = self._model.run(blob)
        joints = []
        for piece, one in zip(pieces, outputs, strict=True):
            found = simcc_joints(one[self._x], one[self._y], self._model.size)
            seen = found[:, 2] > 0
            found[seen, :2] = piece.crop.back(found[seen, :2])
            joints.append(found if self._order is None else found[self._order])
            if not (np.isfinite(one[self._x]).any() and np.isfinite(one[self._y]).any()):
                with self._lock:
                    self.unusable += 1
        people: dict[int, tuple[Detection, ...]] = {}
        for place in now:
            own = [one for piece, one in zip(pieces, joints, strict=True) if piece.place == place]
            if own:
                people[place] = self._people(frames[place].camera, np.stack(own))
        return people

    # ---- where to look -----------------------------------------------------------------------

    def _pieces(self, frame: Frame, place: int) -> list[_Piece]:
        image = frame.image
        if image is None or not image.size:
            return []
        size = (image.shape[1], image.shape[0])
        crops = [
            Crop.around(box, size, self._model.size) for box in self._boxes(frame, image, size)
        ]
        return [_Piece(place, crop, crop.cut(image)) for crop in crops if crop is not None]

    def _boxes(self, frame: Frame, image: NDArray[np.uint8], size: tuple[int, int]) -> list[Box]:
        known = self._followed.get(frame.camera)
        if known is None or known.epoch != frame.epoch or known.size != size:
            known = self._followed[frame.camera] = _Followed(frame.epoch, size, self.detector_every)
        known.age += 1
        if known.age < self.detector_every:
            return known.boxes
        known.age = 0
        boxes = [box for box, _ in self._detector.detect(image)][: self._most]
        corners = np.array([_corners(box) for box in boxes]).reshape(-1, 4)
        # Whom the detector does not see this time (bent, turned) is still where they were.
        missed = [box for box in known.boxes if (overlaps(_corners(box), corners) < THEIRS).all()]
        known.boxes = (boxes + missed)[: self._most]
        return known.boxes

    # ---- who is there ------------------------------------------------------------------------

    def _people(self, camera: str, joints: NDArray[np.float32]) -> tuple[Detection, ...]:
        """Of joints (n, V, 3) those who are somebody, each once; they are followed from here."""
        scores = joints[..., 2].mean(axis=1)
        boxes = np.array([_around(one, self._least) for one in joints], np.float32)
        fine = (scores >= self._least) & (scores > 0) & (boxes[:, 2] > boxes[:, 0])
        found = Found(boxes, scores, joints).at(fine)
        found = found.at(nms(found.boxes, found.scores, overlap=SAME, most=self._most))
        known = self._followed.get(camera)
        if known is not None:
            known.boxes = [_wider(one) for one in found.boxes]
        return found.detections()

    def forget(self, camera: str) -> None:
        """See Pose."""
        self._followed.pop(camera, None)

    def close(self) -> None:
        """See Pose."""
        self._model.close()
        self._detector.close()


def _corners(box: Box) -> NDArray[np.float64]:
    x, y, width, height = box
    return np.array([x, y, x + width, y + height])


def _around(joints: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """x1, y1, x2, y2 around the joints (V, 3) that are seen; zeros where they are too few."""
    points = joints[(joints[:, 2] >= least) & (joints[:, 2] > 0), :2]
    if len(points) < FEWEST:
        return np.zeros(4, np.float32)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _wider(corners: NDArray[np.float32]) -> Box:
    x, y, width, height = box_of(corners) or (0.0, 0.0, 0.0, 0.0)
    return (
        x - width * (AROUND - 1) / 2,
        y - height * (AROUND - 1) / 2,
        width * AROUND,
        height * AROUND,
    )


def _outputs(model: OnnxModel) -> tuple[int, int]:
    """Which output goes along x, and which along y."""
    shapes, (width, height) = model.shapes, model.size
    fine = len(shapes) == 2 and all(len(shape) == 2 for shape in shapes)
    if fine and shapes[0][0] == shapes[1][0]:
        bins = (shapes[0][1], shapes[1][1])
        orders = [(0, 1), (1, 0)]
        if model.names == ("simcc_y", "simcc_x"):
            orders.reverse()
        for x, y in orders:
            # As many bins for each pixel on both axes, at least one.
            if bins[x] * height == bins[y] * width and bins[x] >= width:
                return x, y
    raise UsageError(
        f"{model.path} gives {model.described} for images of {width}x{height}; RTMPose gives simcc_x "
        f"(N, V, {2 * width}) and simcc_y (N, V, {2 * height}). Export it with MMDeploy's "
        "pose-detection_simcc_onnxruntime_dynamic.py; networks of heat maps are not read here."
    )
