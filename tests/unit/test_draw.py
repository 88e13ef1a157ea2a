"""Film strips: what is missing stays out, sides and persons differ, foreign text stays text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stgcn_deploy.data.synthetic import generate_clip
from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.skeleton.draw import clip_svg
from stgcn_deploy.skeleton.layouts import LAYOUTS

SVG = "{http://www.w3.org/2000/svg}"
JOINTS = ("head", "left_hand", "right_hand", "foot")
EDGES = ((1, 0), (2, 0), (3, 0))
# head on top, hands to the sides, foot below: image coordinates, y down, all seen.
POSE = np.array([[0.5, 0.1, 1], [0.9, 0.4, 1], [0.1, 0.4, 1], [0.5, 0.9, 1]], np.float32)


def _clip(frames: int = 4, persons: int = 1) -> np.ndarray:
    return np.tile(POSE, (persons, frames, 1, 1))


def _paths(svg: str, kind: str) -> list[tuple[str, str]]:
    """(colour, d) of all paths of a kind."""
    return [
        (path.attrib["stroke"], path.attrib["d"])
        for path in ET.fromstring(svg).iter(f"{SVG}path")
        if path.attrib["class"] == kind
    ]


def _count(svg: str, kind: str) -> int:
    return sum(d.count("M") for _, d in _paths(svg, kind))


def _dots(svg: str) -> np.ndarray:
    found = "".join(d for _, d in _paths(svg, "joints"))
    return np.array([[float(x), float(y)] for x, y in re.findall(r"M([-\d.]+) ([-\d.]+)h", found)])


def _size(svg: str) -> tuple[float, float]:
    root = ET.fromstring(svg)
    return float(root.attrib["width"]), float(root.attrib["height"])


def test_every_joint_and_bone_is_drawn_once_in_every_cell() -> None:
    svg = clip_svg(_clip(frames=30), JOINTS, EDGES, frames=5)
    assert (_count(svg, "joints"), _count(svg, "bones")) == (5 * 4, 5 * 3)
    assert len(ET.fromstring(svg).findall(f"{SVG}rect")) == 5


@pytest.mark.parametrize(
    ("channels", "value"),
    [(slice(0, 2), 0.0), (2, 0.0), (slice(0, 3), 0.0), (0, np.nan), (1, np.inf), (2, np.nan)],
)
def test_a_missing_joint_takes_its_bones_along(channels: slice | int, value: float) -> None:
    clip = _clip(frames=2)
    clip[0, 1, 1, channels] = value
    svg = clip_svg(clip, JOINTS, EDGES, frames=2)
    assert (_count(svg, "joints"), _count(svg, "bones")) == (7, 5)
    clip[0, 1, 1] = POSE[1]
    clip[0, 1, 0, channels] = value  # the head carries all three bones
    svg = clip_svg(clip, JOINTS, EDGES, frames=2)
    assert (_count(svg, "joints"), _count(svg, "bones")) == (7, 3)


def test_a_coordinate_of_zero_alone_is_no_missing_joint() -> None:
    clip = _clip(frames=1)
    clip[..., 2, 0] = 0
    assert _count(clip_svg(clip, JOINTS, EDGES), "joints") == 4
    assert _count(clip_svg(clip[..., :2], JOINTS, EDGES), "joints") == 4


def test_an_absent_person_leaves_no_trace_and_keeps_others_colours() -> None:
    both = _clip(persons=2)
    both[0] = 0
    svg = clip_svg(both, JOINTS, EDGES, frames=2)
    assert _count(svg, "joints") == 2 * 4
    first = {colour for colour, _ in _paths(clip_svg(_clip(), JOINTS, EDGES), "joints")}
    second = {colour for colour, _ in _paths(svg, "joints")}
    assert len(first) == len(second) == 3
    assert not first & second


def test_left_right_and_middle_have_shades_of_their_own() -> None:
    svg = clip_svg(_clip(frames=1), JOINTS, EDGES)
    assert len({colour for colour, _ in _paths(svg, "bones")}) == 3
    assert "left" in "".join(ET.fromstring(svg).itertext())
    plain = clip_svg(_clip(frames=1), ("a", "b", "c", "d"), EDGES)
    assert len({colour for colour, _ in _paths(plain, "bones")}) == 1
    assert "left" not in "".join(ET.fromstring(plain).itertext())


def test_y_points_down_for_images_and_up_for_metric_data() -> None:
    clip = _clip(frames=1)
    down = _dots(clip_svg(clip, JOINTS, EDGES))
    up = _dots(clip_svg(clip, JOINTS, EDGES, y_up=True))
    # The two middle joints come in one path, head before foot.
    head, foot = (int(i) for i in np.flatnonzero(np.isclose(down[:, 0], np.median(down[:, 0]))))
    assert down[head, 1] < down[foot, 1]
    assert up[head, 1] > up[foot, 1]


def test_one_scale_in_x_and_y() -> None:
    square = np.array([[1, 1, 1], [3, 1, 1], [1, 3, 1], [3, 3, 1]], np.float32)[None, None]
    dots = _dots(clip_svg(square, ("a", "b", "c", "d"), ((0, 1),)))
    width, height = np.ptp(dots, axis=0)
    assert width == pytest.approx(height, abs=0.2)


def test_a_jump_is_seen_and_a_stroll_is_followed() -> None:
    jump, stroll = _clip(frames=2), _clip(frames=2)
    jump[0, 1, :, 1] -= 0.2
    stroll[0, 1, :, 0] += 5
    dots = _dots(clip_svg(jump, JOINTS, ()))
    assert len(np.unique(dots[:, 1].round())) == 6
    dots = _dots(clip_svg(stroll, JOINTS, ()))
    assert np.ptp(dots[:, 1]) > 100


def test_metric_origin_is_a_joint_where_the_body_is_and_missing_where_the_camera_is() -> None:
    # A body of 1.7 m that the camera, at the origin, sees from 3 m.
    body = np.array([[0, 0.8, 3], [0.4, 0.3, 3.1], [-0.4, 0.3, 2.9], [0, -0.9, 3]], np.float32)
    seen = np.tile(body, (1, 1, 1, 1))
    centred = seen - seen[:, :, :1]
    assert _count(clip_svg(seen, JOINTS, EDGES, y_up=True), "joints") == 4
    assert _count(clip_svg(centred, JOINTS, EDGES, y_up=True), "joints") == 4
    lost = seen.copy()
    lost[0, 0, 1] = 0
    assert _count(clip_svg(lost, JOINTS, EDGES, y_up=True), "joints") == 3
    # With two joints at the origin nobody can tell which is real.
    centred[0, 0, 1] = 0
    assert _count(clip_svg(centred, JOINTS, EDGES, y_up=True), "joints") == 2


def test_padding_is_skipped_and_frame_numbers_are_those_of_the_clip() -> None:
    clip = _clip(frames=100)
    clip[:, :10] = 0
    clip[:, 51:] = 0
    svg = clip_svg(clip, JOINTS, EDGES, frames=3)
    texts = [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]
    assert [text for text in texts if text and text[-1].isdigit()] == ["frame 10", "30", "50"]


def test_fewer_frames_than_poses_asked_for() -> None:
    svg = clip_svg(_clip(frames=2), JOINTS, EDGES, frames=6)
    assert len(ET.fromstring(svg).findall(f"{SVG}rect")) == 2


def test_nobody_at_all_is_said() -> None:
    svg = clip_svg(np.zeros((2, 9, 4, 3)), JOINTS, EDGES)
    assert "no joints" in svg
    assert not _paths(svg, "joints")


def test_titles_are_text_whatever_they_hold() -> None:
    title = '<script>alert("1")</script> & \x00\x1b]'
    svg = clip_svg(_clip(), JOINTS, EDGES, title=title)
    assert "<script" not in svg
    assert "<script>alert(" in "".join(ET.fromstring(svg).itertext())


def test_a_long_title_is_cut_in_the_picture_and_whole_in_the_tooltip() -> None:
    root = ET.fromstring(clip_svg(_clip(), JOINTS, EDGES, title="word " * 100))
    tooltip = root.find(f"{SVG}title")
    drawn = root.find(f"{SVG}text")
    assert tooltip is not None
    assert tooltip.text == "word " * 100
    assert drawn is not None
    assert drawn.text is not None
    assert drawn.text.endswith("…")
    assert len(drawn.text) < 120


def test_a_drawing_is_compact_and_asks_for_nothing() -> None:
    layout = LAYOUTS["mediapipe33"]
    clip = generate_clip("wave", np.random.default_rng(0))
    svg = clip_svg(clip, layout.joints, layout.edges)
    assert len(svg) < 25_000
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert svg == clip_svg(clip, layout.joints, layout.edges)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_can_be_drawn_inside_its_picture(name: str) -> None:
    layout = LAYOUTS[name]
    clip = np.random.default_rng(1).uniform(0.1, 1, (2, 7, layout.num_joints, 3))
    svg = clip_svg(clip, layout.joints, layout.edges, y_up=layout.dimensions == 3, title=name)
    dots = _dots(svg)
    assert len(dots) == 2 * 6 * layout.num_joints
    assert (dots >= 0).all()
    assert (dots <= _size(svg)).all()


@settings(max_examples=60, deadline=None)
@given(
    clip=hnp.arrays(np.float32, (2, 3, 4, 3), elements=st.floats(width=32)),
    y_up=st.booleans(),
)
def test_any_numbers_give_a_picture_with_finite_coordinates_inside_it(
    clip: np.ndarray, y_up: bool
) -> None:
    svg = clip_svg(clip, JOINTS, EDGES, y_up=y_up)
    assert "nan" not in svg
    assert "inf" not in svg
    dots = _dots(svg)
    if len(dots):
        assert (dots >= 0).all()
        assert (dots <= np.array(_size(svg)) + 0.5).all()


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((4, 4, 3)), r"\(M, T, 4, C\)"),
        (np.zeros((1, 4, 5, 3)), r"shape \(1, 4, 5, 3\)"),
        (np.zeros((1, 4, 4, 1)), "with x, y first"),
        (np.zeros((1, 0, 4, 3)), "expected"),
        (np.zeros((1, 2, 4, 3), np.complex64), "dtype complex64"),
    ],
)
def test_a_clip_that_cannot_be_drawn_is_refused(clip: np.ndarray, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        clip_svg(clip, JOINTS, EDGES)


def test_wrong_edges_and_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"joints \[4\]"):
        clip_svg(_clip(), JOINTS, ((4, 0),))
    with pytest.raises(UsageError, match="at least 1"):
        clip_svg(_clip(), JOINTS, EDGES, frames=0)
    with pytest.raises(UsageError, match="80"):
        clip_svg(_clip(), JOINTS, EDGES, height=20)
