"""Skeleton graphs: laws of the partition strategies, and the recognition of stored graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.skeleton.adjacency import STRATEGIES, build, hop_distance, identify
from stgcn_deploy.skeleton.layout import EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

HOP_STRATEGIES = ("spatial_configuration", "distance", "uniform")
NOMINAL = [
    (name, graph.name, strategy)
    for name in LAYOUTS
    for graph in LAYOUTS[name].edge_sets
    for strategy in STRATEGIES
]


@st.composite
def trees(draw: st.DrawFn) -> EdgeSet:
    """A random tree, as every skeleton is one."""
    count = draw(st.integers(2, 9))
    parents = [draw(st.integers(0, joint - 1)) for joint in range(1, count)]
    edges = tuple((joint, parent) for joint, parent in enumerate(parents, 1))
    return EdgeSet("drawn", edges, draw(st.integers(0, count - 1)))


def _size(graph: EdgeSet) -> int:
    return len(graph.edges) + 1


@given(trees(), st.integers(1, 4))
def test_hops_are_symmetric_and_zero_to_oneself(graph: EdgeSet, max_hop: int) -> None:
    hops = hop_distance(_size(graph), graph.edges, max_hop)
    assert np.array_equal(hops, hops.T)
    assert np.array_equal(np.diag(hops), np.zeros(_size(graph)))
    assert set(np.unique(hops)) <= {*range(max_hop + 1), np.inf}


@given(trees())
def test_hops_obey_the_triangle_inequality(graph: EdgeSet) -> None:
    hops = hop_distance(_size(graph), graph.edges, max_hop=_size(graph))
    assert np.isfinite(hops).all()
    assert (hops[:, None, :] <= hops[:, :, None] + hops[None, :, :]).all()


@given(trees(), st.integers(1, 3))
def test_a_nearer_cut_only_forgets(graph: EdgeSet, max_hop: int) -> None:
    near = hop_distance(_size(graph), graph.edges, max_hop)
    far = hop_distance(_size(graph), graph.edges, max_hop + 1)
    assert np.array_equal(near[np.isfinite(near)], far[np.isfinite(near)])


@given(trees(), st.sampled_from(HOP_STRATEGIES), st.integers(1, 3))
def test_columns_over_all_subsets_add_up_to_one(
    graph: EdgeSet, strategy: str, max_hop: int
) -> None:
    adjacency = STRATEGIES[strategy](_size(graph), graph, max_hop)
    assert np.allclose(adjacency.sum(axis=(0, 1)), 1)
    assert (adjacency >= 0).all()


@given(trees())
def test_inward_and_outward_columns_add_up_to_one_or_nothing(graph: EdgeSet) -> None:
    adjacency = STRATEGIES["inward_outward"](_size(graph), graph, 1)
    sums = adjacency.sum(axis=1)
    assert np.allclose(sums[0], 1)
    assert np.all(np.isclose(sums, 1) | np.isclose(sums, 0))


@given(trees(), st.sampled_from(HOP_STRATEGIES), st.integers(1, 3))
def test_subsets_share_no_entry(graph: EdgeSet, strategy: str, max_hop: int) -> None:
    adjacency = STRATEGIES[strategy](_size(graph), graph, max_hop)
    assert ((adjacency > 0).sum(axis=0) <= 1).all()


@given(trees(), st.sampled_from(list(STRATEGIES)), st.randoms(use_true_random=False))
def test_renaming_joints_renames_rows_and_columns(
    graph: EdgeSet, strategy: str, random: object
) -> None:
    order = list(range(_size(graph)))
    random.shuffle(order)  # type: ignore[attr-defined]
    renamed = EdgeSet(
        "renamed", tuple((order[a], order[b]) for a, b in graph.edges), order[graph.center]
    )
    before = STRATEGIES[strategy](_size(graph), graph, 1)
    after = STRATEGIES[strategy](_size(graph), renamed, 1)
    assert np.allclose(after[:, order][:, :, order], before)


@pytest.mark.parametrize(
    ("strategy", "max_hop", "subsets"),
    [
        ("uniform", 1, 1),
        ("uniform", 3, 1),
        ("distance", 1, 2),
        ("distance", 2, 3),
        ("spatial_configuration", 1, 3),
        ("spatial_configuration", 2, 5),
        ("inward_outward", 1, 3),
        ("inward_outward", 3, 3),
    ],
)
def test_the_number_of_subsets_follows_from_the_strategy(
    strategy: str, max_hop: int, subsets: int
) -> None:
    adjacency = build(LAYOUTS["ntu25"], strategy, max_hop=max_hop)
    assert adjacency.shape == (subsets, 25, 25)


def test_a_chain_of_three_has_the_matrix_that_the_paper_gives() -> None:
    chain = EdgeSet("chain", ((1, 0), (2, 1)), 0)
    root, near, far = STRATEGIES["spatial_configuration"](3, chain, 1)
    third, half = 1 / 3, 1 / 2
    assert np.allclose(root, np.diag([half, third, half]))
    # Joint 1 gathers from joint 2 (further from the centre), joint 0 from joint 1.
    assert np.allclose(near, [[0, 0, 0], [half, 0, 0], [0, third, 0]])
    assert np.allclose(far, [[0, third, 0], [0, 0, half], [0, 0, 0]])


def test_an_unknown_strategy_or_edge_set_is_refused() -> None:
    with pytest.raises(KeyError):
        build(LAYOUTS["ntu25"], "spatial")
    with pytest.raises(KeyError):
        build(LAYOUTS["ntu25"], "uniform", edge_set="nobody")


@pytest.mark.parametrize(("name", "graph", "strategy"), NOMINAL)
def test_a_nominal_graph_is_recognised_exactly(name: str, graph: str, strategy: str) -> None:
    nominal = build(LAYOUTS[name], strategy, edge_set=graph).astype(np.float32)
    found = identify(nominal)
    assert found is not None
    assert found.exact
    assert found.layout.name == name
    # Another edge set or strategy may be the very same matrix; then either name is right.
    same = build(found.layout, found.strategy, edge_set=found.edge_set.name, max_hop=found.max_hop)
    assert np.allclose(same, nominal, atol=1e-6)


def test_a_trained_graph_is_called_probable() -> None:
    rng = np.random.default_rng(0)
    nominal = build(LAYOUTS["coco17"], "inward_outward")
    found = identify(nominal + rng.normal(0, 0.02, nominal.shape))
    assert found is not None
    assert not found.exact
    assert (found.layout.name, found.strategy) == ("coco17", "inward_outward")
    assert str(found).startswith("probably coco17")


def test_one_moved_edge_is_no_longer_exact() -> None:
    nominal = build(LAYOUTS["openpose18"], "uniform")
    nominal[0, 3, 4] += 1e-3
    found = identify(nominal)
    assert found is not None
    assert not found.exact
    assert found.distance > 0


def test_a_number_of_joints_that_no_layout_has_is_not_recognised() -> None:
    assert identify(np.zeros((3, 19, 19))) is None


def test_a_number_of_subsets_that_no_strategy_has_leaves_the_number_of_joints() -> None:
    found = identify(np.zeros((8, 25, 25)))
    assert found is not None
    assert (found.strategy, found.exact) == ("unknown", False)
    fitting = {name for name in LAYOUTS if LAYOUTS[name].num_joints == 25}
    assert {found.layout.name, *found.others} == fitting
    assert all(name in str(found) for name in fitting)


def test_a_layout_of_the_users_own_is_recognised() -> None:
    mine = Layout("mine4", ("a", "b", "c", "d"), (EdgeSet("e", ((1, 0), (2, 1), (3, 1)), 1),))
    found = identify(build(mine, "spatial_configuration"), (mine,))
    assert found is not None
    assert found.exact
    assert found.layout is mine
