"""BlazePose (Bazarevsky et al. 2020): 33 joints; finds people by a detector, then follows them.

    image -> detector -> region of each person -> joints -> region in the next frame -> joints -> ...

The detector runs again when somebody is lost or nobody is there, and every so many frames for newcomers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import MissingDependencyError
from stgcn_deploy.live.frames import Detection, Frame
from stgcn_deploy.live.pose import blaze_detector, blaze_landmarks
from stgcn_deploy.live.pose.blaze_landmarks import Landmarks
from stgcn_deploy.live.pose.detector import PersonDetector
from stgcn_deploy.live.pose.pool import Network, Pool
from stgcn_deploy.live.pose.roi import Roi, checked_image
from stgcn_deploy.live.pose.smoothing import LandmarkSmoother
from stgcn_deploy.live.settings import PoseSettings

__all__ = ["BlazePose", "make"]

Image = NDArray[np.uint8]
# A person's box of another detector, with the room that BlazePose's own detector wants around it.
ROOM = 1.15
# Two regions whose hips are nearer than this share of the larger one's side are of one person ...
NEAR = 0.15
# ... unless one is so much larger than the other.
RATIO = 2.0
# Two sets of joints whose mean distance is less than this share of the region are of one person.
SAME = 0.08
# Seconds without a frame after which nobody is where they were.
FORGET = 1.0


@dataclass
class _Person:
    """Somebody who is followed from frame to frame."""

    seen: Landmarks
    smoother: LandmarkSmoother | None


@dataclass
class _Camera:
    """What is kept of a camera: of which pictures, who is in them, frames since the detector ran."""

    size: tuple[int, int]
    epoch: int
    t: float
    people: list[_Person] = field(default_factory=list)
    since: int | None = None


class BlazePose:
    """The estimator; see Pose.  Several threads may use it, each camera one at a time.

    Args:
        settings: how many people, from which score on, how often the detector runs.
        detector: makes a network for the person detector: (1, 224, 224, 3), -1 to 1.
        landmarks: makes one for the joints: (1, 256, 256, 3), 0 to 1.
        boxes: another person detector, which looks besides the own one at every detector_every-th frame.
        runtime: what runs the networks, for people.
        smooth: joints go through the filter that MediaPipe has in its mode for video.
    """

    name = "blazepose"
    layout = "mediapipe33"

    def __init__(
        self,
        settings: PoseSettings,
        detector: Pool[Network],
        landmarks: Pool[Network],
        boxes: PersonDetector | None = None,
        *,
        smooth: bool = True,
        runtime: str = "litert",
    ) -> None:
        self.runtime = runtime
        self.detector_every: int = settings.detector_every
        self._settings = settings
        self._detector = detector
        self._landmarks = landmarks
        self._boxes = boxes
        self._smooth = smooth
        self._cameras: dict[str, _Camera] = {}
        self._lock = Lock()

    def detect(self, frames: Sequence[Frame]) -> list[tuple[Detection, ...]]:
        """People of each frame; a frame without an image gives ().

        Raises:
            DataError: an image that is none; all that is known stays as it was.
            BackendError: the runtime failed.
        """
        images = [
            None if frame.image is None else checked_image(frame.image, frame.camera)
            for frame in frames
        ]
        return [
            () if image is None else self._people(frame, image)
            for frame, image in zip(frames, images, strict=True)
        ]

    def forget(self, camera: str) -> None:
        """Drop what is kept of a camera."""
        with self._lock:
            self._cameras.pop(camera, None)

    def close(self) -> None:
        """Release the runtimes."""
        self._detector.clear()
        self._landmarks.clear()
        if self._boxes is not None:
            self._boxes.close()

    # ---- one frame -----------------------------------------------------------------------------

    def _people(self, frame: Frame, image: Image) -> tuple[Detection, ...]:
        height, width = image.shape[:2]
        state = self._state(frame, (width, height))
        before, state.people = state.people, []
        for person in before:
            self._add(state, self._look(image, person.seen.roi), frame.t, person)
        due = state.since is None or state.since + 1 >= self.detector_every
        lost = len(state.people) < max(len(before), 1)
        if len(state.people) < self._settings.persons and (due or lost):
            for roi in self._newcomers(image, state, due):
                if len(state.people) == self._settings.persons:
                    break
                if not any(_near(roi, person.seen.roi) for person in state.people):
                    self._add(state, self._look(image, roi), frame.t, None)
        state.since = 0 if due else (state.since or 0) + 1
        return tuple(_detection(person.seen) for person in state.people)

    def _state(self, frame: Frame, size: tuple[int, int]) -> _Camera:
        """What is known of the camera, if its pictures are still those."""
        with self._lock:
            state = self._cameras.get(frame.camera)
            fits = state is not None and (state.size, state.epoch) == (size, frame.epoch)
            if state is None or not fits or abs(frame.t - state.t) > FORGET:
                state = self._cameras[frame.camera] = _Camera(size, frame.epoch, frame.t)
        state.t = frame.t
        return state

    def _look(self, image: Image, roi: Roi) -> Landmarks | None:
        """Whoever is in the region, if anybody."""
        if not roi.usable(image.shape[1], image.shape[0]):
            return None
        with self._landmarks.one() as network:
            found = blaze_landmarks.look(image, roi, network)
        # A damaged picture gives any numbers; false for NaN too.
        whole = np.isfinite(found.joints).all() and found.roi.usable(image.shape[1], image.shape[0])
        return found if whole and found.score >= self._settings.score else None

    def _add(
        self, state: _Camera, found: Landmarks | None, t: float, person: _Person | None
    ) -> None:
        """Keep what was found, if it is nobody who is there already."""
        if found is None or any(_same(found, other.seen) for other in state.people):
            return
        if person is None:
            person = _Person(found, LandmarkSmoother() if self._smooth else None)
        person.seen = person.smoother(found, t) if person.smoother else found
        state.people.append(person)

    def _newcomers(self, image: Image, state: _Camera, due: bool) -> Iterator[Roi]:
        """Regions where the detectors see people, the own one's first."""
        height, width = image.shape[:2]
        yield from self._found(image, Roi.around((0, 0, width, height)))
        if self._boxes is None or not due:
            return
        for box, score in self._boxes.detect(image):
            taken = any(_inside(person.seen, box) for person in state.people)
            if score >= self._settings.score and not taken:
                # Of several people in the crop, the one whom the box is about.
                rois = [one for one in self._found(image, Roi.around(box, ROOM)) if _over(one, box)]
                yield from rois[:1]

    def _found(self, image: Image, roi: Roi) -> list[Roi]:
        with self._detector.one() as network:
            return [one.roi for one in blaze_detector.find(image, roi, network)]


def _over(roi: Roi, box: tuple[float, float, float, float]) -> bool:
    """Whether the hips are in the box."""
    x, y, width, height = box
    return x <= roi.x <= x + width and y <= roi.y <= y + height


def _inside(seen: Landmarks, box: tuple[float, float, float, float]) -> bool:
    """Whether it is this person whom the box is about: most of their joints are in it, and fill it."""
    x, y, width, height = box
    inside = (seen.joints >= (x, y)).all(axis=1) & (seen.joints <= (x + width, y + height)).all(
        axis=1
    )
    tall = np.ptp(seen.joints[:, 1])
    return bool(inside.mean() > 0.6 and tall > 0.4 * height)


def _near(one: Roi, other: Roi) -> bool:
    """Whether two regions are of one person."""
    low, high = sorted((one.size, other.size))
    distance = float(np.hypot(one.x - other.x, one.y - other.y))
    return high <= RATIO * low and distance < NEAR * high


def _same(one: Landmarks, other: Landmarks) -> bool:
    """Whether two sets of joints are of one person."""
    distance = np.hypot(*(one.joints - other.joints).T).mean()
    return bool(distance < SAME * max(one.roi.size, other.roi.size))


def _detection(seen: Landmarks) -> Detection:
    keypoints = np.concatenate((seen.joints, seen.visibility[:, None]), axis=1).astype(np.float32)
    low, high = seen.joints.min(axis=0), seen.joints.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    return Detection(keypoints, min(max(seen.score, 0.0), 1.0), box)


def make(settings: PoseSettings) -> BlazePose:
    """The estimator with the fetched weights, on OpenVINO or LiteRT.

    Raises:
        UsageError: a model or a layout of the user's, which it has no use for.
        MissingDependencyError: the weights or the runtime are not here.
    """
    from stgcn_deploy.errors import UsageError
    from stgcn_deploy.live.pose.detectors import open_detector
    from stgcn_deploy.live.pose.fetch import DETECTOR, LANDMARKS, find_weights

    if settings.model is not None or settings.layout not in (None, BlazePose.layout):
        raise UsageError(
            "blazepose has weights and a layout (mediapipe33) of its own; leave out the pose model and "
            "layout, or name the estimator that the model is for."
        )
    boxes = open_detector(settings) if settings.detector else None
    weights = find_weights()
    opener, runtime = _opener(settings)
    detector: Pool[Network] = Pool(lambda: opener(weights[DETECTOR], (0, 1)))
    landmarks: Pool[Network] = Pool(lambda: opener(weights[LANDMARKS], blaze_landmarks.NEEDED))
    # Now, not at the first frame, if something is missing.
    with detector.one(), landmarks.one():
        pass
    return BlazePose(settings, detector, landmarks, boxes, runtime=runtime)


def _opener(
    settings: PoseSettings,
) -> tuple[Callable[[Path, tuple[int, ...]], Network], str]:
    """What opens a file, with the outputs that are wanted of it; and its name."""
    from stgcn_deploy.live.pose.litert import LiteNetwork
    from stgcn_deploy.live.pose.openvino_network import OpenVinoNetwork, unusable

    reason = None if settings.runtime == "litert" else unusable()
    if settings.runtime == "openvino" and reason is not None:
        raise MissingDependencyError(f"the pose runtime openvino cannot be used: {reason}")
    if settings.runtime == "litert" or reason is not None:
        return lambda path, keep: LiteNetwork(path), "litert"  # noqa: ARG005 - it computes them all
    return OpenVinoNetwork, "openvino"
