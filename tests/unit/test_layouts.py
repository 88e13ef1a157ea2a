"""Every layout is a skeleton: named joints, edges between them, mirrored halves."""

from __future__ import annotations

import pytest

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right, one_based
from stgcn_deploy.skeleton.layouts import LAYOUTS

JOINTS = {
    "openpose18": 18,
    "ntu25": 25,
    "ntu24": 24,
    "coco17": 17,
    "cococut14": 14,
    "human36m17": 17,
    "jhmdb15": 15,
    "nvidia34": 34,
    "openpose25": 25,
    "ucla20": 20,
    "mediapipe33": 33,
    "handmp21": 21,
}
# Landmarks that the guides' graph leaves unconnected; a fact about their checkpoints.
LOOSE = {("mediapipe33", "guide"): {31, 32}}
EDGE_SETS = [(name, graph.name) for name in JOINTS for graph in LAYOUTS[name].edge_sets]


def _reached(layout: Layout, graph: EdgeSet) -> set[int]:
    reached = {graph.center}
    while True:
        further = {b for a, b in graph.edges if a in reached} | {
            a for a, b in graph.edges if b in reached
        }
        if further <= reached:
            return reached
        reached |= further


def _edge_set(name: str, graph: str) -> EdgeSet:
    return next(g for g in LAYOUTS[name].edge_sets if g.name == graph)


def test_the_table_holds_the_layouts_on_record() -> None:
    assert {name: LAYOUTS[name].num_joints for name in LAYOUTS} == JOINTS


@pytest.mark.parametrize("name", JOINTS)
def test_a_layout_is_called_as_in_the_table(name: str) -> None:
    assert LAYOUTS[name].name == name


@pytest.mark.parametrize("alias", LAYOUTS.aliases)
def test_an_alias_leads_to_a_layout(alias: str) -> None:
    assert LAYOUTS[alias].name == LAYOUTS.aliases[alias]


@pytest.mark.parametrize(("name", "graph"), EDGE_SETS)
def test_every_joint_can_be_reached_from_the_centre(name: str, graph: str) -> None:
    layout = LAYOUTS[name]
    loose = set(range(layout.num_joints)) - _reached(layout, _edge_set(name, graph))
    assert loose == LOOSE.get((name, graph), set())


@pytest.mark.parametrize(("name", "graph"), EDGE_SETS)
def test_no_edge_is_drawn_twice_or_ends_where_it_begins(name: str, graph: str) -> None:
    edges = [frozenset(edge) for edge in _edge_set(name, graph).edges]
    assert len(set(edges)) == len(edges)
    assert all(len(edge) == 2 for edge in edges)


@pytest.mark.parametrize("name", JOINTS)
def test_edge_sets_have_names_of_their_own(name: str) -> None:
    names = [graph.name for graph in LAYOUTS[name].edge_sets]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", JOINTS)
def test_mirroring_twice_gives_the_skeleton_back(name: str) -> None:
    layout = LAYOUTS[name]
    mirrored = list(range(layout.num_joints))
    for left, right in layout.pairs:
        mirrored[left], mirrored[right] = mirrored[right], mirrored[left]
    assert [mirrored[joint] for joint in mirrored] == list(range(layout.num_joints))
    flat = [joint for pair in layout.pairs for joint in pair]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("name", JOINTS)
def test_pairs_are_the_joints_named_left_and_right(name: str) -> None:
    layout = LAYOUTS[name]
    for left, right in layout.pairs:
        assert layout.joints[left].replace("left", "right", 1) == layout.joints[right]
    named = {j for j in layout.joints if j.startswith(("left_", "right_"))}
    assert named == {layout.joints[joint] for pair in layout.pairs for joint in pair}


@pytest.mark.parametrize("name", JOINTS)
def test_dimensions_are_two_or_three(name: str) -> None:
    assert LAYOUTS[name].dimensions in (2, 3)


GOOD = EdgeSet("e", ((1, 0),), 0)


@pytest.mark.parametrize(
    ("joints", "edge_sets", "message"),
    [
        (("a", "b"), (), "at least two joints and one edge set"),
        (("a",), (EdgeSet("e", (), 0),), "at least two joints"),
        (("a", "a"), (GOOD,), "names a joint twice"),
        (("a", "b"), (EdgeSet("e", ((2, 0),), 0),), r"joints \[2\] are outside 0..1"),
        (("a", "b"), (EdgeSet("e", ((0, -1),), 0),), r"joints \[-1\] are outside"),
        (("a", "b"), (EdgeSet("e", ((1, 0),), 5),), r"joints \[5\] are outside"),
    ],
)
def test_a_layout_that_is_no_skeleton_is_refused(
    joints: tuple[str, ...], edge_sets: tuple[EdgeSet, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Layout("mine", joints, edge_sets)


def test_one_based_edges_move_down_by_one() -> None:
    assert one_based((1, 2), (3, 1)) == ((0, 1), (2, 0))


def test_left_and_right_are_paired_by_name_and_the_rest_left_alone() -> None:
    joints = ("nose", "right_eye", "left_eye", "left_thumb", "left_ear", "right_ear")
    assert left_right(joints) == ((2, 1), (4, 5))
