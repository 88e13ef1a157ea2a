"""Pictures of layouts: everything is drawn once, nothing overlaps, foreign names stay text."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import MissingDependencyError, OutputExistsError, UsageError
from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right
from stgcn_deploy.skeleton.layout_drawing import layout_png, layout_svg, write_picture
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.poses import standing_pose

SVG = "{http://www.w3.org/2000/svg}"
ALL = [(name, graph.name) for name in LAYOUTS for graph in LAYOUTS[name].edge_sets]
PNG = b"\x89PNG\r\n\x1a\n"


def _layout(joints: list[str], edges: list[tuple[str, str]], center: int = 0) -> Layout:
    pairs = tuple((joints.index(a), joints.index(b)) for a, b in edges)
    return Layout(
        "mine", tuple(joints), (EdgeSet("mine", pairs, center),), pairs=left_right(tuple(joints))
    )


def _dots(svg: str) -> np.ndarray:
    found = [c for c in ET.fromstring(svg).iter(f"{SVG}circle") if c.get("class") == "joint"]
    return np.array([[float(c.attrib["cx"]), float(c.attrib["cy"])] for c in found])


def _names(svg: str) -> list[str]:
    texts = [t for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("class") == "name"]
    return sorted("".join(text.itertext()) for text in texts)


def _nearest(points: np.ndarray) -> float:
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    return float(gaps.min())


@pytest.mark.parametrize(("name", "edges"), ALL)
def test_every_joint_bone_and_name_is_drawn_once(name: str, edges: str) -> None:
    layout = LAYOUTS[name]
    graph = next(g for g in layout.edge_sets if g.name == edges)
    svg = layout_svg(layout, edge_set=edges)
    root = ET.fromstring(svg)
    assert len(_dots(svg)) == layout.num_joints
    bones = [p for p in root.iter(f"{SVG}path") if p.get("class") == "bone"]
    assert len(bones) == len(graph.edges)
    expected = [
        f"{index} {joint}" + (" (centre)" if index == graph.center else "")
        for index, joint in enumerate(layout.joints)
    ]
    assert _names(svg) == sorted(expected)


@pytest.mark.parametrize(("name", "edges"), ALL)
def test_the_ring_is_around_the_centre(name: str, edges: str) -> None:
    graph = next(g for g in LAYOUTS[name].edge_sets if g.name == edges)
    svg = layout_svg(LAYOUTS[name], edge_set=edges)
    rings = [c for c in ET.fromstring(svg).iter(f"{SVG}circle") if c.get("class") == "centre"]
    assert len(rings) == 1
    ring = [float(rings[0].attrib["cx"]), float(rings[0].attrib["cy"])]
    assert ring == _dots(svg)[graph.center].tolist()


@pytest.mark.parametrize(("name", "edges"), ALL)
def test_dots_and_lines_of_text_do_not_overlap_and_stay_inside(name: str, edges: str) -> None:
    svg = layout_svg(LAYOUTS[name], edge_set=edges)
    root = ET.fromstring(svg)
    dots = _dots(svg)
    radius = float(next(c for c in root.iter(f"{SVG}circle") if c.get("class") == "joint").get("r"))
    assert _nearest(dots) >= 2 * radius
    assert radius > 7  # the number on it can be read
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    assert (dots > radius).all()
    assert (dots < [width - radius, height - radius]).all()
    columns: dict[str, list[float]] = {}
    for text in root.iter(f"{SVG}text"):
        if text.get("class") == "name":
            columns.setdefault(text.attrib["x"], []).append(float(text.attrib["y"]))
            left, length = float(text.attrib["x"]), 6.6 * len("".join(text.itertext()))
            reach = left - length if text.get("text-anchor") == "end" else left + length
            assert 0 <= reach <= width
    assert len(columns) == 2
    for heights in columns.values():
        assert np.diff(sorted(heights)).min(initial=99) >= 13.5
        assert max(heights) < height


@pytest.mark.parametrize(("name", "edges"), ALL)
def test_no_two_leaders_of_a_column_cross(name: str, edges: str) -> None:
    svg = layout_svg(LAYOUTS[name], edge_set=edges)
    path = next(p for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("class") == "leaders")
    numbers = [float(n) for n in re.findall(r"[-\d.]+", path.attrib["d"])]
    lines = np.array(numbers).reshape(-1, 2, 2)
    for one in range(len(lines)):
        for two in range(one):
            if lines[one, 0, 0] == lines[two, 0, 0]:
                assert not _cross(lines[one], lines[two])


def _cross(one: np.ndarray, two: np.ndarray) -> bool:
    def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    return (
        turn(*one, two[0]) * turn(*one, two[1]) < 0 and turn(*two, one[0]) * turn(*two, one[1]) < 0
    )


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "handmp21"])
def test_a_person_stands_upright_and_faces_us(name: str) -> None:
    layout = LAYOUTS[name]
    dots = dict(zip(layout.joints, _dots(layout_svg(layout)), strict=True))
    for left, right in layout.pairs:
        assert dots[layout.joints[left]][0] > dots[layout.joints[right]][0]
    down = ["left_shoulder", "left_elbow", "left_wrist"]
    assert [dots[joint][1] for joint in down] == sorted(dots[joint][1] for joint in down)
    assert dots["left_hip"][1] < dots["left_knee"][1] < dots["left_ankle"][1]


def test_every_known_joint_has_a_place_of_its_own() -> None:
    for layout in LAYOUTS.values():
        placed = standing_pose(layout.joints, ())
        assert placed[:, 1].max() <= 1  # a row below would be of unknown ones
        assert _nearest(placed) > 0.03


def test_left_and_right_differ_in_shade_and_the_legend_says_so() -> None:
    def colours(svg: str) -> set[str | None]:
        circles = ET.fromstring(svg).iter(f"{SVG}circle")
        return {c.get("fill") for c in circles if c.get("class") == "joint"}

    svg = layout_svg(LAYOUTS["coco17"])
    assert len(colours(svg)) == 3
    assert {"left", "right"} <= {t.text for t in ET.fromstring(svg).iter(f"{SVG}text")}
    hand = layout_svg(LAYOUTS["handmp21"])
    assert len(colours(hand)) == 1
    assert "left" not in {t.text for t in ET.fromstring(hand).iter(f"{SVG}text")}


def test_a_bone_goes_round_a_joint_in_its_way() -> None:
    straight = layout_svg(_layout(["neck", "torso", "pelvis"], [("torso", "neck")]))
    assert not re.search(r'class="bone" d="[^"]*Q', straight)
    around = layout_svg(_layout(["neck", "torso", "pelvis"], [("pelvis", "neck")]))
    assert re.search(r'class="bone" d="[^"]*Q', around)


def test_unknown_joints_stand_amid_their_neighbours() -> None:
    joints = ["left_shoulder", "right_shoulder", "left_hip", "right_hip", "heart"]
    place = standing_pose(joints, ((4, 0), (4, 1), (4, 2), (4, 3)))
    assert np.allclose(place[4], place[:4].mean(axis=0), atol=0.05)


def test_a_tail_hangs_on_in_order() -> None:
    joints = ["neck", "pelvis", "tail_1", "tail_2", "tail_3"]
    place = standing_pose(joints, ((1, 0), (2, 1), (3, 2), (4, 3)))
    far = np.linalg.norm(place - place[1], axis=1)
    assert far[2] < far[3] < far[4]


def test_joints_of_one_place_make_way() -> None:
    place = standing_pose(["pelvis", "mid_hip", "left_hip"], ((1, 0), (2, 0)))
    assert _nearest(place) > 0.05


def test_names_that_nobody_knows_stand_on_a_circle() -> None:
    joints = [f"sensor{index}" for index in range(9)]
    place = standing_pose(joints, tuple((index, index - 1) for index in range(1, 9)))
    radii = np.linalg.norm((place - [0, 0.5]) / [0.45, 0.5], axis=1)
    assert np.allclose(radii, 1)
    # Neighbours of the graph are neighbours on the circle.
    steps = np.linalg.norm(np.diff(place, axis=0), axis=1)
    assert steps.max() < 0.4


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any names, known and unknown, and any edges."""
    known = ["neck", "nose", "left_hip", "right_hip", "wrist", "thumb_1", "pelvis", "mid_hip"]
    names = st.one_of(st.sampled_from(known), st.text(max_size=12))
    joints = draw(st.lists(names, min_size=2, max_size=14, unique=True))
    index = st.integers(0, len(joints) - 1)
    edges = draw(st.lists(st.tuples(index, index), max_size=20))
    return Layout("drawn", tuple(joints), (EdgeSet("e", tuple(edges), draw(index)),))


@given(layouts())
def test_any_layout_of_a_user_becomes_a_picture(layout: Layout) -> None:
    place = standing_pose(layout.joints, layout.edges)
    assert np.isfinite(place).all()
    assert _nearest(place) > 0
    svg = layout_svg(layout)
    assert len(_dots(svg)) == layout.num_joints


def test_foreign_text_stays_text() -> None:
    svg = layout_svg(_layout(["<b>&", "a\x00b", "$x$"], [("$x$", "<b>&")]))
    assert _names(svg) == ["0 <b>& (centre)", "1 a b", "2 $x$"]
    assert layout_png(_layout(["<b>&", "a", "$x$"], [("a", "$x$")]), height=200)[:8] == PNG


def test_many_joints_make_a_taller_plan_with_every_name() -> None:
    many = _layout([f"j{index}" for index in range(120)], [])
    svg = layout_svg(many)
    assert len(_names(svg)) == 120
    assert _nearest(_dots(svg)) > 0


@pytest.mark.parametrize("height", [120, 480, 900])
def test_height_scales_the_picture(height: int) -> None:
    root = ET.fromstring(layout_svg(LAYOUTS["coco17"], height=height))
    width, tall = (float(v) for v in root.attrib["viewBox"].split()[2:])
    assert int(root.attrib["height"]) == height
    assert int(root.attrib["width"]) == pytest.approx(width * height / tall, abs=1.5)


def test_too_little_height_and_unknown_edges_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 120 pixels"):
        layout_svg(LAYOUTS["coco17"], height=119)
    with pytest.raises(UsageError, match="no edge set 'tao'; it has pyskl, mmskeleton, paddle"):
        layout_svg(LAYOUTS["coco17"], edge_set="tao")


@pytest.mark.parametrize("name", ["ntu25", "handmp21"])
def test_a_png_has_the_height_asked_for(name: str) -> None:
    png = layout_png(LAYOUTS[name], height=300)
    assert png[:8] == PNG
    assert int.from_bytes(png[20:24], "big") == 300


def test_pictures_are_the_same_every_time() -> None:
    assert layout_svg(LAYOUTS["ntu25"]) == layout_svg(LAYOUTS["ntu25"])


def test_without_matplotlib_there_is_svg_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real: Callable[..., object] = builtins.__import__

    def refuse(name: str, *others: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name="matplotlib")
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert layout_svg(LAYOUTS["coco17"]).startswith("<svg")
    with pytest.raises(MissingDependencyError, match=r"stgcn-deploy\[plots\]"):
        write_picture(LAYOUTS["coco17"], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_svg_or_png_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.SVG"
    assert write_picture(LAYOUTS["coco17"], path, edge_set="paddle") == path
    assert path.read_text(encoding="utf-8") == layout_svg(LAYOUTS["coco17"], edge_set="paddle")
    with pytest.raises(OutputExistsError, match="--force"):
        write_picture(LAYOUTS["coco17"], path)
    write_picture(LAYOUTS["coco17"], path, force=True)
    assert "pyskl edges" in path.read_text(encoding="utf-8")
    for name in ("a.pdf", "a", "a.svgz"):
        with pytest.raises(UsageError, match=r"an \.svg or a \.png"):
            write_picture(LAYOUTS["coco17"], tmp_path / name)
