"""Every graph of every codebase, number by number, and what they call it."""

from __future__ import annotations

import numpy as np
import pytest

from stgcn_deploy.skeleton.adjacency import build, hop_distance, identify
from stgcn_deploy.skeleton.bones import BONE_PARENTS
from stgcn_deploy.skeleton.catalogue import SPELLINGS, describe, partners, sides
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

SC, IO = "spatial_configuration", "inward_outward"
# Measured on the codebases' own code: layout, edge set, strategy, hops, fingerprint, non-zeros of each
# subset, sum of each subset.  The fingerprint is sum A[k,i,j] (1+k) (1+i) (1+2j), 0-based.
FINGERPRINTS = [
    ("openpose18", "st-gcn", "uniform", 1, 3652.25, (52,), (18,)),
    ("openpose18", "st-gcn", "distance", 1, 5635.333333, (18, 34), (6.666667, 11.333333)),
    ("openpose18", "st-gcn", SC, 1, 5759.833333, (18, 25, 9), (6.666667, 8.583333, 2.75)),
    ("openpose18", "st-gcn", IO, 1, 16408.5, (18, 17, 17), (18, 17, 12)),
    ("ntu25", "st-gcn", "uniform", 1, 9816.75, (73,), (25,)),
    ("ntu25", "st-gcn", "distance", 1, 15610.383333, (25, 48), (8.95, 16.05)),
    ("ntu25", "st-gcn", SC, 1, 15934.716667, (25, 40, 8), (8.95, 13.3, 2.75)),
    (
        "ntu25", "st-gcn", SC, 2, 21205.445635, (25, 36, 12, 42, 12),
        (5.431349, 7.374206, 2.186905, 7.598016, 2.409524),
    ),
    ("ntu25", "st-gcn", IO, 1, 48939.25, (25, 24, 24), (25, 24, 20)),
    ("ntu25", "pyskl", SC, 1, 14122.383333, (25, 40, 8), (9.116667, 13.133333, 2.75)),
    ("ntu25", "pyskl", IO, 1, 39872.25, (25, 24, 24), (25, 24, 18)),
    ("ntu24", "st-gcn", "uniform", 1, 8951.75, (70,), (24,)),
    ("ntu24", "st-gcn", "distance", 1, 14204.383333, (24, 46), (8.616667, 15.383333)),
    ("ntu24", "st-gcn", SC, 1, 14234.516667, (24, 41, 5), (8.616667, 13.766667, 1.616667)),
    ("coco17", "mmskeleton", SC, 1, 5291.4, (17, 34, 4), (5.733333, 10.1, 1.166667)),
    ("coco17", "pyskl", SC, 1, 5321.983333, (17, 22, 10), (6.366667, 7.133333, 3.5)),
    ("coco17", "pyskl", IO, 1, 15309.5, (17, 16, 16), (17, 16, 11)),
    ("coco17", "paddle", SC, 1, 5927.75, (17, 26, 8), (6, 8.416667, 2.583333)),
    ("handmp21", "pyskl", SC, 1, 9986, (21, 30, 10), (7.666667, 10, 3.333333)),
    ("handmp21", "pyskl", IO, 1, 30441, (21, 20, 20), (21, 20, 16)),
    ("cococut14", "tsstg", SC, 1, 2565.916667, (14, 19, 7), (5.25, 6.416667, 2.333333)),
    ("nvidia34", "tao", SC, 1, 38914.45, (34, 62, 8), (12.533333, 19.266667, 2.2)),
    ("human36m17", "tao", SC, 1, 5701.9, (17, 27, 7), (6.116667, 8.766667, 2.116667)),
    ("mediapipe33", "guide", SC, 1, 36841.016667, (33, 54, 14), (12.45, 16.6, 3.95)),
    ("openpose25", "mmaction2-0.x", SC, 1, 15400.416667, (25, 38, 10), (9.2, 12.633333, 3.166667)),
    ("openpose25", "mmaction2-0.x", IO, 1, 43366.75, (25, 24, 24), (25, 24, 17)),
    ("openpose25", "fsd10", SC, 1, 15529.983333, (25, 40, 8), (9.2, 13.35, 2.45)),
    ("ucla20", "ctr-gcn", IO, 1, 26439, (20, 19, 19), (20, 19, 15)),
    (
        "ntu25", "pyskl", "symmetric", 1, 314372.221516, (25, 24, 24),
        (24.975025, 146.407928, 197.764941),
    ),
    (
        "coco17", "mmskeleton", "symmetric", 1, 132369.586741, (17, 16, 16),
        (16.983017, 77.199968, 136.076527),
    ),
    (
        "openpose18", "st-gcn", "symmetric", 1, 179269.73256, (18, 17, 17),
        (17.982018, 108.806945, 197.10356),
    ),
]  # fmt: skip

# Third subset of spatial configuration: source -> targets, value.
SPOTS = [
    ("ntu25", "st-gcn", 1, (0,), 1 / 4),
    ("ntu25", "st-gcn", 2, (3,), 1 / 2),
    ("ntu25", "st-gcn", 4, (5,), 1 / 3),
    ("ntu25", "st-gcn", 8, (9,), 1 / 3),
    ("ntu25", "st-gcn", 20, (1, 2, 4, 8), 1 / 3),
    ("openpose18", "st-gcn", 0, (14, 15), 1 / 3),
    ("openpose18", "st-gcn", 1, (0, 2, 5), 1 / 4),
    ("openpose18", "st-gcn", 2, (3, 8), 1 / 3),
    ("openpose18", "st-gcn", 5, (6, 11), 1 / 3),
    ("coco17", "pyskl", 0, (1, 2), 1 / 3),
    ("coco17", "pyskl", 0, (5, 6), 1 / 4),
    ("coco17", "pyskl", 1, (3,), 1 / 2),
    ("coco17", "pyskl", 2, (4,), 1 / 2),
    ("coco17", "pyskl", 5, (7, 11), 1 / 3),
    ("coco17", "pyskl", 6, (8, 12), 1 / 3),
    ("cococut14", "tsstg", 1, (3, 7), 1 / 3),
    ("cococut14", "tsstg", 2, (4, 8), 1 / 3),
    ("cococut14", "tsstg", 13, (0,), 1 / 2),
    ("cococut14", "tsstg", 13, (1, 2), 1 / 4),
]
SIZES = {
    "openpose18": 18, "ntu25": 25, "ntu24": 24, "coco17": 17, "mediapipe33": 33, "handmp21": 21,
    "cococut14": 14, "nvidia34": 34, "human36m17": 17, "openpose25": 25, "ucla20": 20, "jhmdb15": 15,
}  # fmt: skip
METRIC = {"ntu25", "ntu24", "nvidia34", "human36m17", "ucla20"}
EDGE_SETS = [(name, graph.name) for name in SIZES for graph in LAYOUTS[name].edge_sets]
# Landmarks that the guides' graph leaves unconnected; a fact about their checkpoints.
LOOSE = {("mediapipe33", "guide"): {31, 32}}
# One link joins the mouth to the nose in pictures; it starts at the left corner.
LOPSIDED = {("mediapipe33", "blazepose"): {frozenset({0, 9}), frozenset({0, 10})}}
SAID = [
    (codebase, word, layout, edge_set)
    for codebase, words in SPELLINGS.items()
    for word, (layout, edge_set) in words.items()
]


def _fingerprint(adjacency: np.ndarray) -> float:
    k, i, j = np.indices(adjacency.shape)
    return float((adjacency * (1 + k) * (1 + i) * (1 + 2 * j)).sum())


def _edge_set(name: str, graph: str) -> EdgeSet:
    return next(found for found in LAYOUTS[name].edge_sets if found.name == graph)


@pytest.mark.parametrize(
    ("layout", "edges", "strategy", "hops", "fingerprint", "counts", "sums"), FINGERPRINTS
)
def test_a_graph_has_the_numbers_of_the_codebase(
    layout: str,
    edges: str,
    strategy: str,
    hops: int,
    fingerprint: float,
    counts: tuple[int, ...],
    sums: tuple[float, ...],
) -> None:
    adjacency = build(LAYOUTS[layout], strategy, edge_set=edges, max_hop=hops)
    assert tuple((adjacency != 0).sum(axis=(1, 2))) == counts
    assert adjacency.sum(axis=(1, 2)) == pytest.approx(sums, abs=1e-6)
    assert _fingerprint(adjacency) == pytest.approx(fingerprint, abs=1e-5)


@pytest.mark.parametrize("strategy", ["uniform", "distance", SC, IO, "symmetric"])
def test_one_bone_hung_elsewhere_changes_the_fingerprint(strategy: str) -> None:
    """Otherwise the numbers above would prove little."""
    ours = LAYOUTS["coco17"]
    edges = tuple((9, 8) if edge == (9, 7) else edge for edge in ours.edges)
    assert edges != ours.edges
    other = Layout("other", ours.joints, (EdgeSet("other", edges, 0),))
    difference = _fingerprint(build(ours, strategy)) - _fingerprint(build(other, strategy))
    assert abs(difference) > 1


@pytest.mark.parametrize(("layout", "edges", "source", "targets", "value"), SPOTS)
def test_single_entries_of_the_third_subset(
    layout: str, edges: str, source: int, targets: tuple[int, ...], value: float
) -> None:
    third = build(LAYOUTS[layout], SC, edge_set=edges)[2]
    for target in targets:
        assert third[source, target] == pytest.approx(value)


def test_the_table_holds_every_layout_on_record() -> None:
    assert {name: LAYOUTS[name].num_joints for name in LAYOUTS} == SIZES
    assert {name for name in LAYOUTS if LAYOUTS[name].dimensions == 3} == METRIC


@pytest.mark.parametrize(("name", "graph"), EDGE_SETS)
def test_every_joint_can_be_reached_from_the_centre(name: str, graph: str) -> None:
    edge_set, count = _edge_set(name, graph), SIZES[name]
    hops = hop_distance(count, edge_set.edges, count)[edge_set.center]
    assert set(np.flatnonzero(np.isinf(hops))) == LOOSE.get((name, graph), set())


@pytest.mark.parametrize("name", SIZES)
def test_edge_sets_of_a_layout_differ(name: str) -> None:
    """Two names for the same edges and centre would make recognition a matter of order."""
    graphs = {
        (frozenset(frozenset(edge) for edge in graph.edges), graph.center)
        for graph in LAYOUTS[name].edge_sets
    }
    assert len(graphs) == len(LAYOUTS[name].edge_sets)


@pytest.mark.parametrize(("name", "graph"), EDGE_SETS)
@pytest.mark.parametrize("strategy", [SC, IO, "symmetric"])
def test_a_graph_is_recognised_among_all_others(name: str, graph: str, strategy: str) -> None:
    found = identify(build(LAYOUTS[name], strategy, edge_set=graph).astype(np.float32))
    assert found is not None
    assert found.exact
    assert (found.layout.name, found.edge_set.name, found.strategy) == (name, graph, strategy)


@pytest.mark.parametrize("name", SIZES)
def test_a_mirrored_skeleton_keeps_its_parts(name: str) -> None:
    layout = LAYOUTS[name]
    mirror = [joint if other is None else other for joint, other in enumerate(partners(layout))]
    assert [mirror[joint] for joint in mirror] == list(range(layout.num_joints))
    for joint, side in enumerate(sides(layout)):
        assert (side == "left") == layout.joints[joint].startswith("left_")
        assert (side == "right") == layout.joints[joint].startswith("right_")


# The guides' graph connects landmarks by index, not by body.
@pytest.mark.parametrize(("name", "graph"), [pair for pair in EDGE_SETS if pair[1] != "guide"])
def test_a_body_is_connected_alike_on_both_sides(name: str, graph: str) -> None:
    """A slip of the pen in a list shows as a limb that only one side has."""
    layout = LAYOUTS[name]
    mirror = [joint if other is None else other for joint, other in enumerate(partners(layout))]
    edges = {frozenset(edge) for edge in _edge_set(name, graph).edges}
    lopsided = {frozenset(mirror[j] for j in edge) for edge in edges} ^ edges
    assert lopsided == LOPSIDED.get((name, graph), set())


@pytest.mark.parametrize(("codebase", "word", "layout", "edge_set"), SAID)
def test_a_codebases_word_leads_to_its_graph(
    codebase: str, word: str, layout: str, edge_set: str
) -> None:
    assert LAYOUTS[word] is LAYOUTS[layout]
    assert _edge_set(layout, edge_set).name == edge_set
    spelt = next(
        graph["spellings"]
        for graph in describe(LAYOUTS[layout])["edge_sets"]
        if graph["name"] == edge_set
    )
    assert codebase in spelt[word]


@pytest.mark.parametrize("name", BONE_PARENTS)
def test_bones_lead_from_every_joint_to_one_root(name: str) -> None:
    parents = BONE_PARENTS[name]
    assert len(parents) == LAYOUTS[name].num_joints
    roots = [joint for joint, parent in enumerate(parents) if joint == parent]
    assert len(roots) == 1
    for start in range(len(parents)):
        joint = start
        for _ in parents:
            joint = parents[joint]
        assert joint == roots[0]


@pytest.mark.parametrize("name", SIZES)
def test_a_description_is_plain_and_whole(name: str) -> None:
    described = describe(LAYOUTS[name])
    assert described["name"] == name
    assert [joint["name"] for joint in described["joints"]] == list(LAYOUTS[name].joints)
    assert described["bone_pairs"] == (name in BONE_PARENTS)
    assert all(LAYOUTS[alias] is LAYOUTS[name] for alias in described["aliases"])
    assert [g["center"] for g in described["edge_sets"]] == [
        graph.center for graph in LAYOUTS[name].edge_sets
    ]


def test_a_layout_that_borrows_a_name_borrows_nothing_else() -> None:
    mine = Layout("coco17", ("a", "b"), (EdgeSet("pyskl", ((1, 0),), 0),))
    described = describe(mine)
    assert described["aliases"] == []
    assert not described["bone_pairs"]
    assert described["edge_sets"][0]["spellings"] == {}
