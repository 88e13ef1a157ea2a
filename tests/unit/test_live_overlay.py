"""Drawing people changes the pixels it is meant to change, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.frames import Box, Detection, Tracked
from stgcn_deploy.live.overlay import annotate, caption_of, plain
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.scene import COLOURS, LEFT, MIDDLE, RIGHT

pytest.importorskip("cv2", reason="drawing needs opencv-python-headless")

EDGES = ((0, 1), (1, 2))


def person(points: Any, track: int = 1, box: Box | None = None) -> Tracked:
    return Tracked(track, Detection(np.asarray(points, np.float32), box=box))


def draw(image: np.ndarray, *people: Tracked, **options: Any) -> np.ndarray:
    return annotate(image, people, **({"edges": EDGES, "captions": {}} | options))


def changed(image: np.ndarray, out: np.ndarray) -> np.ndarray:
    return (image != out).any(axis=2)


def colour(text: str) -> list[int]:
    return list(bytes.fromhex(text[1:]))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(80, 90, (360, 640, 3)).astype(np.uint8)


def test_pixels_change_on_the_bones_and_nowhere_else(image: np.ndarray) -> None:
    before = image.copy()
    points = [[100, 100, 1], [100, 200, 1], [200, 200, 1]]
    out = draw(image, person(points))
    assert (image == before).all()
    found = changed(image, out)
    assert found[100:200, 100].all()
    assert found[200, 100:200].all()
    # The box of the joints is drawn thinly, the bones with room for joints.
    allowed = np.zeros_like(found)
    allowed[92:209, 92:209] = True
    allowed[110:190, 110:190] = False
    assert not (found & ~allowed).any()
    assert out[150, 100].tolist() == colour(COLOURS[1][MIDDLE])


@pytest.mark.parametrize(
    "lost", [[0, 0, 0], [150, 50, 0], [0, 0, 0.9], [np.nan, 50, 1], [150, np.inf, 1], [1e30, 5, 1]]
)
def test_a_joint_that_is_missing_is_left_out_with_its_bones(image: np.ndarray, lost: Any) -> None:
    whole = [[100, 300, 1], [300, 300, 1]]
    out = draw(image, person([*whole, lost]))
    assert (out == draw(image, person([*whole, [0, 0, 0]]))).all()
    assert not changed(image, out)[:280].any()


@pytest.mark.parametrize(
    "points", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.zeros((0, 3)), [[-500, -500, 1]] * 3]
)
def test_nobody_in_sight_changes_nothing(image: np.ndarray, points: Any) -> None:
    assert (draw(image, person(points), captions={1: "fall"}) == image).all()


def test_unsure_joints_are_paler(image: np.ndarray) -> None:
    def contrast(score: float) -> float:
        points = [[100, 100, score], [100, 200, score], [200, 200, score]]
        out = draw(image, person(points, box=(0, 0, 1, 1)))
        return float(np.abs(out[150, 100].astype(float) - image[150, 100]).sum())

    assert contrast(0.9) > contrast(0.5) > contrast(0.2) > 0


def test_sides_have_their_colours(image: np.ndarray) -> None:
    points = [[100, 100, 1], [200, 100, 1], [300, 100, 1]]
    away = (0.0, 0.0, 9.0, 9.0)
    out = draw(image, person(points, track=0, box=away), sides=(LEFT, MIDDLE, RIGHT))
    row = COLOURS[0]
    assert out[100, 150].tolist() == colour(row[LEFT])
    assert out[100, 250].tolist() == colour(row[RIGHT])
    assert (
        draw(image, person(points, track=0), sides=(LEFT,)) == draw(image, person(points, track=0))
    ).all()


def test_people_differ_in_colour(image: np.ndarray) -> None:
    points = [[100, 100], [100, 200], [200, 200]]
    assert (draw(image, person(points, 0)) != draw(image, person(points, 1))).any()


def test_the_caption_stands_above_the_box_or_in_it(image: np.ndarray) -> None:
    points = [[100, 150, 1], [100, 200, 1], [200, 200, 1]]
    bare = draw(image, person(points))
    above = changed(bare, draw(image, person(points), captions={1: "fall 92%", 2: "walk 10%"}))
    rows = np.flatnonzero(above.any(axis=1))
    assert 120 < rows.min() < rows.max() < 150
    assert above[rows.min() : rows.max() + 1, 100:130].all()
    high = [[100, 2, 1], [100, 60, 1], [200, 60, 1]]
    inside = changed(draw(image, person(high)), draw(image, person(high), captions={1: "fall 92%"}))
    rows = np.flatnonzero(inside.any(axis=1))
    assert 2 <= rows.min() < rows.max() < 40


def test_captions_do_not_cover_each_other(image: np.ndarray) -> None:
    points = [[100, 150, 1], [100, 200, 1], [200, 200, 1]]
    people = [person(points, track) for track in range(4)]
    out = draw(image, *people, captions=dict.fromkeys(range(4), "fall 92%"))
    column = out[:, 101].tolist()
    heights = [column.count(colour(COLOURS[track][LEFT])) for track in range(4)]
    assert min(heights) > 15
    # More people than there is room for: drawn all the same.
    small = plain((64, 40))
    many = [person([[5, 20, 1], [30, 30, 1], [30, 39, 1]], track) for track in range(9)]
    assert (draw(small, *many, captions=dict.fromkeys(range(9), "fall")) != small).any()


def test_the_banner_stays_at_the_upper_edge_and_captions_below_it(image: np.ndarray) -> None:
    out = draw(image, banner="door  24.9 fps")
    found = changed(image, out)
    height = int(found.any(axis=1).sum())
    assert found[:height].all()
    assert 10 < height < 40
    high = [[100, 2, 1], [100, 60, 1], [200, 60, 1]]
    both = draw(image, person(high), captions={1: "fall"}, banner="door")
    alone = draw(image, person(high), banner="door")
    assert np.flatnonzero(changed(both, alone).any(axis=1)).min() >= height


def test_a_box_is_drawn_as_given_and_a_wrong_one_is_passed_over(image: np.ndarray) -> None:
    nobody = np.zeros((3, 3))
    found = changed(image, draw(image, person(nobody, box=(50, 60, 100, 120))))
    assert found[60, 50:150].all()
    assert found[60:180, 150].all()
    assert not found[70:170, 60:140].any()
    assert (draw(image, person(nobody, box=(np.nan, 0, 10, 10))) == image).all()
    assert (draw(image, person(nobody, box=(0, 0, 1e30, 10))) == image).all()


@pytest.mark.parametrize("size", [(16, 16), (17, 640), (640, 17), (1080, 1920), (1, 1)])
def test_any_size_and_people_partly_outside(size: tuple[int, int]) -> None:
    layout = LAYOUTS["mediapipe33"]
    rng = np.random.default_rng(1)
    people = []
    for track in range(4):
        points = rng.normal(0.5, 0.8, (33, 3)) * [size[1], size[0], 1]
        people.append(person(points, track, box=(-5, -9, size[1] / 2, size[0] * 2)))
    image = np.full((*size, 3), 90, np.uint8)
    captions = {0: "fall 92%", 1: "x" * 500, 2: "跌倒\n\t99%", 3: ""}
    out = annotate(image, people, edges=layout.edges, captions=captions, banner="b" * 300)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert (out != image).any()


def test_edges_of_another_layout_are_passed_over(image: np.ndarray) -> None:
    points = [[100, 100, 1], [200, 100, 1], [300, 100, 1]]
    out = draw(image, person(points), edges=(*EDGES, (2, 16), (-1, 0)))
    assert (out == draw(image, person(points))).all()


def test_a_picture_that_cannot_be_written_is_copied() -> None:
    image = plain((64, 48))
    assert image.shape == (48, 64, 3)
    image.setflags(write=False)
    out = draw(image[:, ::-1], person([[10, 10, 1], [30, 30, 1], [50, 10, 1]]))
    assert out.flags.c_contiguous
    assert (out != image).any()


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)),
     np.zeros((0, 8, 3), np.uint8)],
)  # fmt: skip
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"expected \(H, W, 3\), uint8"):
        draw(image)


def test_a_caption_is_a_label_with_its_share() -> None:
    assert caption_of("fall", 0.917) == "fall 92%"
    assert caption_of("fall", None) == "fall"
