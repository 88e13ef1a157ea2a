"""The people detector of OpenCV: our side of it, and the real one where this OpenCV has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgcn_deploy.errors import BackendError, MissingDependencyError
from stgcn_deploy.live.pose import hog
from stgcn_deploy.live.pose.detectors import open_detector
from stgcn_deploy.live.settings import PoseSettings

cv2 = pytest.importorskip("cv2")


class _Descriptor:
    """Says the same boxes of any image, and keeps what it was shown."""

    def __init__(self, boxes: list[list[int]], margins: list[float]) -> None:
        self.boxes, self.margins = boxes, margins
        self.seen: list[tuple[int, ...]] = []

    def detectMultiScale(self, image: np.ndarray, **_: Any) -> tuple[Any, Any]:
        self.seen.append(image.shape)
        if not self.boxes:
            return (), ()
        return np.array(self.boxes, np.int32), np.array(self.margins)


def _detector(monkeypatch: pytest.MonkeyPatch, descriptor: Any) -> hog.HogDetector:
    monkeypatch.setattr(hog, "_descriptor", lambda: descriptor)
    return hog.HogDetector()


def _image(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_come_best_first_with_scores_and_without_doubles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes = [[10, 20, 64, 128], [12, 22, 64, 128], [300, 20, 64, 128]]
    found = _detector(monkeypatch, _Descriptor(boxes, [0.2, 1.0, 0.5])).detect(_image(640, 480))
    assert [box for box, _ in found] == [(12, 22, 64, 128), (300, 20, 64, 128)]
    assert [score for _, score in found] == pytest.approx([0.7311, 0.6225], abs=1e-4)


def test_a_large_image_is_made_smaller_and_boxes_are_told_in_its_own_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    descriptor = _Descriptor([[10, 20, 64, 128]], [1.0])
    ((box, _),) = _detector(monkeypatch, descriptor).detect(_image(1920, 1080))
    assert descriptor.seen == [(432, 768)]
    assert box == pytest.approx((25, 50, 160, 320))


def test_nobody_and_an_image_smaller_than_the_window_give_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    descriptor = _Descriptor([], [])
    detector = _detector(monkeypatch, descriptor)
    assert detector.detect(_image(640, 480)) == []
    assert detector.detect(_image(1, 1)) == []
    assert detector.detect(_image(3000, 200)) == []
    assert len(descriptor.seen) == 1


def test_what_opencv_refuses_is_an_error_of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(_Descriptor):
        def detectMultiScale(self, image: np.ndarray, **_: Any) -> tuple[Any, Any]:
            raise cv2.error("out of memory")

    with pytest.raises(BackendError, match="out of memory"):
        _detector(monkeypatch, Broken([], [])).detect(_image(640, 480))


def test_an_opencv_without_it_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "HOGDescriptor", raising=False)
    with pytest.raises(MissingDependencyError, match=r'pip install "opencv-python-headless<5"'):
        open_detector(PoseSettings(detector="hog"))


def _figure(width: int, height: int) -> np.ndarray:
    """Somebody in dark clothes, 240 pixels tall, in the middle of a light wall."""
    image = np.full((height, width, 3), 200, np.uint8)
    x, y, dark = width // 2, height // 2 - 120, (60, 60, 60)
    cv2.ellipse(image, (x, y + 20), (16, 20), 0, 0, 360, dark, -1)
    cv2.rectangle(image, (x - 6, y + 30), (x + 6, y + 50), dark, -1)
    trunk = [(x - 34, y + 50), (x + 34, y + 50), (x + 24, y + 130), (x - 24, y + 130)]
    cv2.fillPoly(image, [np.array(trunk)], dark)
    for side in (-1, 1):
        cv2.line(image, (x + side * 34, y + 54), (x + side * 34, y + 125), dark, 8)
        cv2.line(image, (x + side * 13, y + 125), (x + side * 19, y + 238), dark, 22)
    blurred: np.ndarray = cv2.GaussianBlur(image, (0, 0), 2)
    return blurred


@pytest.mark.skipif(
    not hasattr(cv2, "HOGDescriptor"),
    reason=f"OpenCV {cv2.__version__} is built without its people detector",
)
def test_the_real_one_finds_a_figure_and_nobody_on_an_empty_wall() -> None:
    detector = open_detector(PoseSettings(detector="hog"))
    found = detector.detect(_figure(640, 480))
    assert found
    x, y, width, height = found[0][0]
    assert x < 320 < x + width
    assert y < 240 < y + height
    assert height == pytest.approx(300, rel=0.35)
    assert detector.detect(np.full((480, 640, 3), 255, np.uint8)) == []
    detector.close()
