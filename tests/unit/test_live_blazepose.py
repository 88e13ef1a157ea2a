"""BlazePose over frames: who is found, followed, lost and found again, by networks that see dots."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from painted_people import SHADES, Networks, Person, frame, paint

from stgcn_deploy.errors import BackendError, DataError, MissingDependencyError, UsageError
from stgcn_deploy.live.frames import Box, Detection, Frame
from stgcn_deploy.live.pose.blazepose import BlazePose
from stgcn_deploy.live.pose.registry import DETECTORS, POSES, open_pose
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.skeleton.layouts import LAYOUTS

pytest.importorskip("cv2")

LEFT = Person(200, 240)
RIGHT = Person(450, 240, shade=SHADES[1])


def _off(found: Detection, person: Person) -> float:
    return float(np.abs(found.keypoints[:, :2] - person.joints).max())


def test_somebody_is_found_where_they_are() -> None:
    pose = Networks().pose()
    ((found,),) = pose.detect([frame(LEFT)])
    assert _off(found, LEFT) < 1.0
    assert found.keypoints.shape == (LAYOUTS[pose.layout].num_joints, 3)
    assert found.keypoints.dtype == np.float32
    assert found.keypoints[:, 2] == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert found.score == pytest.approx(0.9)
    assert found.box == pytest.approx((200, 180, 0, 60), abs=1.0)


@pytest.mark.parametrize("up", [(60.0, 0.0), (-40.0, -40.0), (0.0, 60.0)])
def test_somebody_who_lies_or_stands_on_their_head_is_found_too(up: tuple[float, float]) -> None:
    person = replace(LEFT, up=up)
    ((found,),) = Networks().pose().detect([frame(person)])
    assert _off(found, person) < 1.0


def test_nobody_gives_nothing_and_the_detector_looks_at_every_frame() -> None:
    networks = Networks()
    pose = networks.pose(detector_every=5)
    for i in range(4):
        assert pose.detect([frame(t=i / 30)]) == [()]
    assert networks.detector_calls == 4
    assert networks.landmark_calls == 0


def test_somebody_who_walks_is_followed_with_the_detector_now_and_then() -> None:
    networks = Networks()
    pose = networks.pose(detector_every=5)
    for i in range(20):
        walking = replace(LEFT, x=200 + 6 * i)
        ((found,),) = pose.detect([frame(walking, t=i / 30)])
        assert _off(found, walking) < 1.5
    assert networks.detector_calls == 4
    assert networks.landmark_calls == 20


def test_the_interval_may_be_set_at_any_time() -> None:
    networks = Networks()
    pose = networks.pose(detector_every=1)
    pose.detect([frame(LEFT)])
    pose.detector_every = 100
    for i in range(1, 10):
        pose.detect([frame(LEFT, t=i / 30)])
    assert networks.detector_calls == 1


def test_somebody_lost_is_looked_for_at_once() -> None:
    networks = Networks()
    pose = networks.pose(detector_every=100)
    pose.detect([frame(LEFT)])
    away = replace(LEFT, x=520)
    ((found,),) = pose.detect([frame(away, t=1 / 30)])
    assert _off(found, away) < 1.0


def test_somebody_who_left_is_nobody() -> None:
    pose = Networks().pose(detector_every=100)
    assert len(pose.detect([frame(LEFT, RIGHT)])[0]) == 2
    ((found,),) = pose.detect([frame(RIGHT, t=1 / 30)])
    assert _off(found, RIGHT) < 1.0


def test_a_newcomer_is_seen_when_the_detector_runs_next() -> None:
    pose = Networks().pose(detector_every=3)
    counts = [len(pose.detect([frame(LEFT, t=0.0)])[0])]
    counts += [len(pose.detect([frame(LEFT, RIGHT, t=i / 30)])[0]) for i in range(1, 5)]
    assert counts == [1, 1, 1, 2, 2]


def test_the_same_person_is_not_found_twice() -> None:
    pose = Networks().pose(detector_every=1)
    for i in range(3):
        assert len(pose.detect([frame(LEFT, RIGHT, t=i / 30)])[0]) == 2


def test_a_child_before_an_adult_is_another_person() -> None:
    adult = Person(400, 500, up=(0.0, -250.0), dot=20)
    child = Person(440, 560, up=(0.0, -70.0), dot=15, shade=SHADES[1])
    (found,) = Networks().pose().detect([_wide(adult, child)])
    assert len(found) == 2


def test_two_regions_that_slid_onto_one_person_become_one() -> None:
    pose = Networks().pose(detector_every=100)
    near = Person(LEFT.x + 60, LEFT.y, shade=SHADES[1])
    assert len(pose.detect([frame(LEFT, near)])[0]) == 2
    # One goes, and the other is what both regions see.
    between = replace(near, x=LEFT.x + 30)
    assert len(pose.detect([frame(between, t=1 / 30)])[0]) == 1


def test_there_are_at_most_so_many_and_then_the_detector_rests() -> None:
    networks = Networks()
    pose = networks.pose(persons=1, detector_every=1)
    for i in range(3):
        assert len(pose.detect([frame(LEFT, RIGHT, t=i / 30)])[0]) == 1
    assert networks.detector_calls == 1


def test_those_below_the_score_are_nobody() -> None:
    assert Networks(score=0.4).pose(score=0.5).detect([frame(LEFT)]) == [()]
    assert len(Networks(score=0.6).pose(score=0.5).detect([frame(LEFT)])[0]) == 1


def test_a_score_above_one_is_one() -> None:
    assert Networks(score=1.0001).pose().detect([frame(LEFT)])[0][0].score == 1.0


def test_smoothing_follows_and_can_be_left_out() -> None:
    for smooth in (True, False):
        pose = Networks().pose(smooth=smooth)
        for i in range(10):
            walking = replace(LEFT, x=200 + 4 * i)
            ((found,),) = pose.detect([frame(walking, t=i / 30)])
        assert _off(found, walking) < (6.0 if smooth else 1.5)


# ---- cameras ---------------------------------------------------------------------------------


def test_frames_of_several_cameras_in_one_call_are_answered_in_their_order() -> None:
    pose = Networks().pose()
    one, none, two = pose.detect(
        [frame(LEFT, camera="a"), frame(camera="b"), frame(LEFT, RIGHT, camera="c")]
    )
    assert (len(one), len(none), len(two)) == (1, 0, 2)


def test_key_points_without_an_image_give_nobody() -> None:
    assert Networks().pose().detect([Frame("a", 0.0, 0.0)]) == [()]


@pytest.mark.parametrize("how", ["forget", "epoch", "size", "gap"])
def test_what_was_known_of_a_camera_is_dropped(how: str) -> None:
    networks = Networks()
    pose = networks.pose(detector_every=100)
    pose.detect([frame(LEFT)])
    pose.detect([frame(LEFT, t=0.1)])
    assert networks.detector_calls == 1
    again = frame(LEFT, t=0.2)
    if how == "forget":
        pose.forget("a")
        pose.forget("never seen")
    elif how == "epoch":
        again = replace(again, epoch=1)
    elif how == "size":
        again = frame(LEFT, t=0.2, width=500)
    else:
        again = frame(LEFT, t=5.0)
    assert len(pose.detect([again])[0]) == 1
    assert networks.detector_calls == 2


def test_another_camera_is_not_touched_by_forgetting() -> None:
    networks = Networks()
    pose = networks.pose(detector_every=100)
    pose.detect([frame(LEFT, camera="a"), frame(LEFT, camera="b")])
    pose.forget("a")
    pose.detect([frame(LEFT, camera="b", t=0.1)])
    assert networks.detector_calls == 2


def test_threads_with_a_camera_each_find_what_one_thread_finds() -> None:
    def walk(pose: BlazePose, camera: str) -> list[np.ndarray]:
        found = []
        for i in range(12):
            person = replace(LEFT, x=200 + 5 * i + 10 * int(camera))
            (people,) = pose.detect([frame(person, camera=camera, t=i / 30)])
            found.append(np.stack([one.keypoints for one in people]))
        return found

    alone = [walk(Networks().pose(smooth=True), str(n)) for n in range(4)]
    networks = Networks()
    shared = networks.pose(smooth=True)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: walk(shared, str(n)), range(4)))
    np.testing.assert_array_equal(alone, together)
    assert networks.made <= 8


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((10, 0, 3), np.uint8),
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((2, 48, 64, 3), np.uint8),
        np.zeros((1, 40_000, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
    ids=["0x0", "0 wide", "grey", "4 channels", "float", "batch", "huge", "list"],
)
def test_what_is_no_image_is_said_and_the_next_frame_works(image: Any) -> None:
    networks = Networks()
    pose = networks.pose(detector_every=100)
    pose.detect([frame(LEFT)])
    with pytest.raises(DataError, match=r"camera 'a'.*expected"):
        pose.detect([Frame("a", 0.03, 0.03, image)])
    assert len(pose.detect([frame(LEFT, t=0.06)])[0]) == 1
    assert networks.detector_calls == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 600), (33, 7)])
def test_a_tiny_image_shows_nobody(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 7, np.uint8)
    assert Networks().pose().detect([Frame("a", 0.0, 0.0, image)]) == [()]


def test_a_mirrored_view_is_taken_as_it_is() -> None:
    image = paint(LEFT)[:, ::-1]
    ((found,),) = Networks().pose().detect([Frame("a", 0.0, 0.0, image)])
    assert found.keypoints[0, 0] == pytest.approx(639 - LEFT.x, abs=1.0)


def test_numbers_that_are_not_finite_are_nobody() -> None:
    networks = Networks(poison=True)
    pose = networks.pose()
    assert pose.detect([frame(LEFT)]) == [()]
    networks.poison = False
    assert len(pose.detect([frame(LEFT, t=0.1)])[0]) == 1


def test_a_runtime_that_failed_is_not_used_again() -> None:
    def fail() -> None:
        raise BackendError("broken")

    networks = Networks()
    pose = networks.pose()
    pose.detect([frame(LEFT)])
    made, networks.broken = networks.made, fail
    with pytest.raises(BackendError, match="broken"):
        pose.detect([frame(LEFT, t=0.1)])
    networks.broken = lambda: None
    assert len(pose.detect([frame(LEFT, t=0.2)])[0]) == 1
    assert networks.made > made


# ---- another detector ------------------------------------------------------------------------


class _Boxes:
    """Says these boxes, whatever the image."""

    name = "boxes"

    def __init__(self, *boxes: tuple[Box, float]) -> None:
        self.boxes = list(boxes)
        self.calls = 0
        self.closed = False

    def detect(self, image: np.ndarray) -> list[tuple[Box, float]]:
        self.calls += 1
        return self.boxes

    def close(self) -> None:
        self.closed = True


# So small in the picture that the own detector sees nobody in the whole of it.
FAR = Person(1000, 700, up=(0.0, -20.0), dot=2)
NEXT = Person(1100, 700, up=(0.0, -20.0), dot=2, shade=SHADES[1])
AROUND: Box = (980, 660, 40, 80)


def _wide(*people: Person, t: float = 0.0) -> Frame:
    return frame(*people, t=t, width=1920, height=1080)


def test_without_another_detector_somebody_far_away_is_not_seen() -> None:
    assert Networks().pose().detect([_wide(FAR)]) == [()]


def test_a_box_of_another_detector_is_looked_into() -> None:
    boxes = _Boxes((AROUND, 0.9))
    pose = Networks().pose(boxes=boxes, detector_every=5)
    for i in range(10):
        ((found,),) = pose.detect([_wide(FAR, t=i / 30)])
        assert _off(found, FAR) < 1.5
    assert boxes.calls == 2


@pytest.mark.parametrize("person", [FAR, NEXT])
def test_of_several_people_in_the_square_the_one_in_the_box_is_taken(person: Person) -> None:
    boxes = _Boxes(((person.x - 20, 640, 40, 260), 0.9))
    ((found,),) = Networks().pose(boxes=boxes).detect([_wide(FAR, NEXT)])
    assert _off(found, person) < 1.5


def test_a_box_is_about_one_person() -> None:
    boxes = _Boxes(((980, 640, 140, 260), 0.9))
    assert len(Networks().pose(boxes=boxes).detect([_wide(FAR, NEXT)])[0]) == 1


def test_a_box_of_somebody_who_is_known_is_not_looked_into() -> None:
    networks = Networks()
    near = Person(400, 500, up=(0.0, -250.0), dot=30)
    pose = networks.pose(boxes=_Boxes(((330, 220, 140, 320), 0.9)), detector_every=1)
    assert len(pose.detect([_wide(near)])[0]) == 1
    assert networks.detector_calls == 1


def test_a_box_with_nobody_in_it_or_a_low_score_gives_nobody() -> None:
    assert Networks().pose(boxes=_Boxes(((100, 100, 50, 90), 0.9))).detect([_wide(FAR)]) == [()]
    assert Networks().pose(boxes=_Boxes((AROUND, 0.1))).detect([_wide(FAR)]) == [()]


def test_boxes_come_besides_what_the_own_detector_sees() -> None:
    near = Person(400, 500, up=(0.0, -250.0), dot=30, shade=SHADES[2])
    boxes = _Boxes((AROUND, 0.9), ((250, 150, 300, 700), 0.8))
    (found,) = Networks().pose(boxes=boxes).detect([_wide(near, FAR)])
    assert len(found) == 2


def test_while_nobody_is_there_the_other_detector_keeps_to_its_interval() -> None:
    boxes = _Boxes()
    pose = Networks().pose(boxes=boxes, detector_every=5)
    for i in range(10):
        pose.detect([_wide(t=i / 30)])
    assert boxes.calls == 2


def test_closing_closes_the_other_detector() -> None:
    boxes = _Boxes()
    pose = Networks().pose(boxes=boxes)
    pose.close()
    assert boxes.closed


# ---- the table -------------------------------------------------------------------------------


def test_the_tables_have_what_comes_with_the_project() -> None:
    assert "blazepose" in POSES
    assert "hog" in DETECTORS


def test_without_weights_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("stgcn_deploy.live.pose.fetch.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="stgcn pose fetch"):
        open_pose(PoseSettings())


@pytest.mark.parametrize("wrong", [{"model": "mine.onnx"}, {"layout": "coco17"}])
def test_a_model_or_layout_of_the_users_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="of its own"):
        open_pose(PoseSettings(**wrong))


def test_an_unknown_person_detector_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="did you mean 'hog'"):
        open_pose(PoseSettings(detector="hogg"))
