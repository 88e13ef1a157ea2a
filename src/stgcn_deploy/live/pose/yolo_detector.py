"""Person detectors in a user's file: YOLO as Ultralytics exports it, YOLOX or RTMDet as MMDeploy does.

YOLO: see yolo_output, nothing more; persons are the class of that name, or the first (COCO).
YOLOX: dets (N, n, 5) x1, y1, x2, y2, score, labels (N, n), NMS in the graph; BGR, 0..255, the picture in
the upper left corner, grey 114 beside it.  RTMDet gives the same and wants its colours normalised; it is
told apart by the names of its weights.  Sources: MMDetection's configs/yolox and configs/rtmdet, MMDeploy's
detection_onnxruntime.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Box
from stgcn_deploy.live.pose.found import Found, box_of
from stgcn_deploy.live.pose.onnx_model import OnnxModel, Outputs
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.pose.whole_image import Finder
from stgcn_deploy.live.pose.yolo_output import (
    OVERLAP,
    PIXELS,
    USUAL,
    YoloNotes,
    end_to_end,
    raw,
)
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["YoloDetector", "make"]

YOLOX = Pixels(bgr=True)
RTMDET = Pixels(bgr=True, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
RTMDET_WEIGHTS = "rtm_cls"


def make(settings: PoseSettings) -> YoloDetector:
    """The user's detector.

    Raises:
        FileUnreadableError, BackendError: see OnnxModel.
        UsageError: its outputs are none of the known ones, or it does not look for persons.
    """
    if not settings.detector:
        raise UsageError("no person detector is named: --pose-detector FILE.onnx.")
    model = OnnxModel(Path(settings.detector), usual=USUAL)
    try:
        return YoloDetector(settings, _finder(model))
    except BaseException:
        model.close()
        raise


class YoloDetector:
    """See PersonDetector."""

    def __init__(self, settings: PoseSettings, finder: Finder) -> None:
        self.name = finder.model.path.name
        self._finder = finder
        self._least, self._most = settings.score, settings.persons

    @property
    def unusable(self) -> int:
        """Boxes left out so far because their numbers were none."""
        return self._finder.unusable

    def detect(self, image: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """See PersonDetector."""
        if not image.size:
            return []
        (found,) = self._finder.find([image], least=self._least, most=self._most)
        boxes = [
            (box_of(one), float(score))
            for one, score in zip(found.boxes, found.scores, strict=True)
        ]
        return [(box, min(score, 1.0)) for box, score in boxes if box is not None]

    def close(self) -> None:
        """See PersonDetector."""
        self._finder.model.close()


def _finder(model: OnnxModel) -> Finder:
    shapes = model.shapes
    notes = YoloNotes(model)
    notes.check_task(model, "detect")
    if len(shapes) == 2:
        rows = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] == 5]
        labels = [i for i, shape in enumerate(shapes) if len(shape) == 1]
        if rows and labels:
            return _mmdeploy(model, rows[0], labels[0])
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise _refused(model)
    person, (places_, columns) = notes.person(model), shapes[0]
    if columns == 6:
        return Finder(model, PIXELS, end_to_end(person))
    classes = len(notes.classes) or places_ - 4
    if places_ == 4 + classes and classes > 0 and columns > places_:
        return Finder(model, PIXELS, raw(person, classes), overlap=OVERLAP)
    raise _refused(model)


def _mmdeploy(model: OnnxModel, rows: int, labels: int) -> Finder:
    def decode(outputs: Outputs, least: float) -> Found:
        boxes = outputs[rows]
        kept = boxes[~(boxes[:, 4] < least) & (outputs[labels] == 0)]
        return Found(kept[:, :4], kept[:, 4], np.zeros((len(kept), 0, 3), np.float32))

    pixels = RTMDET if any(RTMDET_WEIGHTS in name for name in model.weights) else YOLOX
    return Finder(model, pixels, decode, centred=False)


def _refused(model: OnnxModel) -> UsageError:
    return UsageError(
        f"{model.path} gives {model.described}; a person detector gives (N, 4 + classes, places) or "
        "(N, n, 6) as Ultralytics exports it, or dets (N, n, 5) and labels (N, n) as MMDeploy does."
    )
