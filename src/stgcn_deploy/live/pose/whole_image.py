"""Networks that look at the whole image at once: RTMO, YOLO-pose, and detectors of persons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.pose.found import Found
from stgcn_deploy.live.pose.letterbox import GREY, Letterbox
from stgcn_deploy.live.pose.nms import nms
from stgcn_deploy.live.pose.onnx_model import OnnxModel, Outputs
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["Finder", "WholeImagePose", "model_file"]

# What an image gave, and the least score that counts -> people in pixels of the network's image.
Decode = Callable[[Outputs, float], Found]
Image = NDArray[np.uint8]


def model_file(settings: PoseSettings) -> Path:
    """The user's file.

    Raises:
        UsageError: none is named.
    """
    if not settings.model:
        raise UsageError(
            f"{settings.name} runs a network of yours; name its file: --pose-model FILE.onnx "
            "(pose: model: in YAML). docs/pose-onnx.md says which files work."
        )
    return Path(settings.model)


class Finder:
    """A network with what goes into it and what comes out; may be used by several threads at a time.

    Args:
        pixels: what it wants of an image; centred: where the image lies in it.
        decode: see Decode.
        overlap: boxes that share more are one person; None: the graph has seen to that.

    Attributes:
        unusable: people left out so far because their numbers were none.
    """

    def __init__(
        self,
        model: OnnxModel,
        pixels: Pixels,
        decode: Decode,
        *,
        centred: bool = True,
        overlap: float | None = None,
    ) -> None:
        self.model = model
        self.unusable = 0
        self._pixels = pixels
        self._decode = decode
        self._centred = centred
        self._overlap = overlap
        self._lock = Lock()

    def find(self, images: Sequence[Image], *, least: float, most: int) -> list[Found]:
        """People of each image (H, W, 3) in its own pixels, the surest first.

        Args:
            least: score below which somebody is nobody; zero is nobody in any case, for graphs fill
                their outputs with zeros.
            most: at most so many in one image.
        """
        if not images:
            return []
        size = self.model.size
        boxes = [Letterbox.fit(one.shape[1::-1], size, centred=self._centred) for one in images]
        canvas = np.full((len(images), size[1], size[0], 3), GREY, np.uint8)
        for box, image, target in zip(boxes, images, canvas, strict=True):
            box.draw(image, target)
        outputs = self.model.run(self._pixels.blob(canvas, self.model.dtype))
        # What is infinite or no number is left out below, in so many words.
        with np.errstate(over="ignore", invalid="ignore"):
            return [
                self._people(one, box, least, most) for one, box in zip(outputs, boxes, strict=True)
            ]

    def _people(self, outputs: Outputs, box: Letterbox, least: float, most: int) -> Found:
        found = self._decode(outputs, least)
        usable = found.usable
        if not usable.all():
            with self._lock:
                self.unusable += int((~usable).sum())
        found = found.at(usable & (found.scores >= least) & (found.scores > 0))
        if self._overlap is None:
            best = np.argsort(-found.scores, kind="stable")[:most]
        else:
            best = nms(found.boxes, found.scores, overlap=self._overlap, most=most)
        found = found.at(best)
        corners = box.back(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        joints = found.joints.copy()
        joints[..., :2] = box.back(joints[..., :2])
        return Found(corners, found.scores, joints)


class WholeImagePose:
    """See Pose.  Nothing is kept from frame to frame, and every frame is looked at as a whole.

    Args:
        order: of the network's joints, which of them the layout takes, and in which order; None: all.
    """

    detector_every = 1

    def __init__(
        self, settings: PoseSettings, finder: Finder, layout: str, order: list[int] | None = None
    ) -> None:
        self.name = settings.name
        self.layout = layout
        self._finder = finder
        self._order = order
        self._least, self._most = settings.score, settings.persons

    @property
    def unusable(self) -> int:
        """People left out so far because their numbers were none."""
        return self._finder.unusable

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """See Pose."""
        images = {
            place: frame.image
            for place, frame in enumerate(frames)
            if frame.image is not None and frame.image.size
        }
        found = self._finder.find(list(images.values()), least=self._least, most=self._most)
        people: list[tuple[Detection, ...]] = [()] * len(frames)
        for place, one in zip(images, found, strict=True):
            joints = one.joints if self._order is None else one.joints[:, self._order]
            people[place] = Found(one.boxes, one.scores, joints).detections()
        return people

    def forget(self, camera: str) -> None:
        """See Pose; nothing is kept."""

    def close(self) -> None:
        """See Pose."""
        self._finder.model.close()
