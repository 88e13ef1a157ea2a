"""Skeleton graphs: partition strategies (K, V, V) and the recognition of a stored adjacency.

Row is the source joint, column the target: y[.., w] = sum_v x[.., v] A[v, w].

Sources: Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks", AAAI 2018 (arXiv
1801.07455), section 3.3, for uniform / distance / spatial configuration; Shi et al., "Two-Stream
Adaptive Graph Convolutional Networks", CVPR 2019 (arXiv 1805.07694), for inward / outward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.skeleton.layout import Edge, EdgeSet, Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["STRATEGIES", "LayoutMatch", "build", "hop_distance", "identify"]

Matrix = NDArray[np.float64]

# A learned adjacency moves away from its nominal graph; within this distance it is that graph.
EXACT_TOLERANCE = 1e-4


def hop_distance(num_joints: int, edges: tuple[Edge, ...], max_hop: int = 1) -> Matrix:
    """Hops between joints (V, V); infinite beyond `max_hop`.

    The cut at `max_hop` is part of the definition that networks were trained with: two joints both
    out of reach of the centre count as equally far from it.
    """
    step = np.eye(num_joints, dtype=bool)
    for child, parent in edges:
        step[child, parent] = step[parent, child] = True
    distance = np.full((num_joints, num_joints), np.inf)
    reach = np.eye(num_joints, dtype=bool)
    for hop in range(max_hop + 1):
        distance[reach & np.isinf(distance)] = hop
        reach = (reach.astype(int) @ step.astype(int)) > 0
    return distance


def _normalise_columns(matrix: Matrix) -> Matrix:
    total = matrix.sum(axis=0)
    return matrix / np.where(total > 0, total, 1)


def _hops(num_joints: int, graph: EdgeSet, max_hop: int) -> tuple[Matrix, Matrix]:
    distance = hop_distance(num_joints, graph.edges, max_hop)
    return distance, _normalise_columns((distance <= max_hop).astype(float))


def uniform(num_joints: int, graph: EdgeSet, max_hop: int = 1) -> Matrix:
    """One subset: every neighbour alike."""
    return _hops(num_joints, graph, max_hop)[1][None]


def distance(num_joints: int, graph: EdgeSet, max_hop: int = 1) -> Matrix:
    """One subset for each hop count."""
    hops, normal = _hops(num_joints, graph, max_hop)
    return np.stack([np.where(hops == hop, normal, 0) for hop in range(max_hop + 1)])


def spatial_configuration(num_joints: int, graph: EdgeSet, max_hop: int = 1) -> Matrix:
    """Root, centripetal (source at least as far from the centre) and centrifugal subsets."""
    hops, normal = _hops(num_joints, graph, max_hop)
    radius = hops[:, graph.center]
    source, target = radius[:, None], radius[None, :]
    subsets = [np.where((hops == 0) & (source == target), normal, 0)]
    for hop in range(1, max_hop + 1):
        at_hop = np.where(hops == hop, normal, 0)
        subsets += [np.where(source >= target, at_hop, 0), np.where(source < target, at_hop, 0)]
    return np.stack(subsets)


def inward_outward(num_joints: int, graph: EdgeSet, max_hop: int = 1) -> Matrix:
    """Identity, inward (towards the centre) and outward; `max_hop` plays no part."""
    del max_hop
    inward = np.zeros((num_joints, num_joints))
    for child, parent in graph.edges:
        inward[parent, child] = 1
    return np.stack([np.eye(num_joints), _normalise_columns(inward), _normalise_columns(inward.T)])


def symmetric(num_joints: int, graph: EdgeSet, max_hop: int = 1) -> Matrix:
    """Self, outward and inward neighbours, each scaled on both sides by its row sums (Realtime-ST-GCN).

    Distances to the centre are not cut at `max_hop`, which plays no part; neighbours equally far from
    it are left out.  The 0.001 keeps empty rows finite, and makes entries beside them as large as 31.6.
    """
    del max_hop
    step = hop_distance(num_joints, graph.edges)
    radius = hop_distance(num_joints, graph.edges, num_joints)[:, graph.center]
    source, target = radius[:, None], radius[None, :]
    parts = [step == 0, (step == 1) & (target < source), (step == 1) & (target > source)]
    scaled = []
    for part in parts:
        scale = (part.sum(axis=1) + 0.001) ** -0.5
        scaled.append((scale[:, None] * part * scale[None, :]).T)
    return np.stack(scaled)


STRATEGIES: dict[str, Callable[[int, EdgeSet, int], Matrix]] = {
    "spatial_configuration": spatial_configuration,
    "inward_outward": inward_outward,
    "distance": distance,
    "uniform": uniform,
    "symmetric": symmetric,
}
# Strategies to which `max_hop` makes no difference.
_ONE_HOP = frozenset({"inward_outward", "symmetric"})


def build(
    layout: Layout, strategy: str, *, edge_set: str | None = None, max_hop: int = 1
) -> Matrix:
    """Adjacency (K, V, V) of a layout's edge set (the first one by default).

    Raises:
        KeyError: no such strategy or edge set.
    """
    by_name = {graph.name: graph for graph in layout.edge_sets}
    graph = by_name[edge_set] if edge_set else layout.edge_sets[0]
    return STRATEGIES[strategy](layout.num_joints, graph, max_hop)


@dataclass(frozen=True)
class LayoutMatch:
    """What a stored adjacency was recognised as.

    Attributes:
        exact: every entry within 1e-4 of the nominal graph; False means only the closest one.
        distance: mean absolute difference to the nominal graph, per entry.
        others: names of further layouts that fit no worse.
    """

    layout: Layout
    edge_set: EdgeSet
    strategy: str
    max_hop: int
    exact: bool
    distance: float
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.others:
            names = " or ".join((self.layout.name, *self.others))
            return f"probably {names} (all that is known is V={self.layout.num_joints})"
        certainty = "" if self.exact else "probably "
        return f"{certainty}{self.layout.name} ({self.edge_set.name} edges, {self.strategy})"


def _candidates(num_subsets: int, layouts: tuple[Layout, ...]) -> Iterator[LayoutMatch]:
    for layout in layouts:
        for graph in layout.edge_sets:
            for name, strategy in STRATEGIES.items():
                for max_hop in (1, 2, 3):
                    if name in _ONE_HOP and max_hop > 1:
                        continue
                    if len(strategy(layout.num_joints, graph, max_hop)) == num_subsets:
                        yield LayoutMatch(layout, graph, name, max_hop, False, np.inf)


def identify(
    adjacency: NDArray[np.floating], layouts: tuple[Layout, ...] | None = None
) -> LayoutMatch | None:
    """The layout, edge set and strategy whose nominal graph is closest to `adjacency` (K, V, V).

    Args:
        layouts: the candidates; by default every known layout.

    Returns:
        The exact match, else the nearest one with `exact=False`.  Where no strategy has this K (graphs
        that are learned from nothing), a layout of this V with strategy "unknown"; None where no
        candidate has this V.
    """
    num_subsets, num_joints, _ = adjacency.shape
    known = layouts if layouts is not None else tuple(LAYOUTS[name] for name in LAYOUTS)
    fitting = tuple(layout for layout in known if layout.num_joints == num_joints)
    best: LayoutMatch | None = None
    for candidate in _candidates(num_subsets, fitting):
        nominal = build(
            candidate.layout,
            candidate.strategy,
            edge_set=candidate.edge_set.name,
            max_hop=candidate.max_hop,
        )
        difference = np.abs(adjacency.astype(np.float64) - nominal)
        found = replace(
            candidate,
            exact=bool(difference.max() < EXACT_TOLERANCE),
            distance=float(difference.mean()),
        )
        if found.exact:
            return found
        # Nobody trains a learned graph from two hops: a close one is a coincidence.
        if found.max_hop == 1 and (best is None or found.distance < best.distance):
            best = found
    if best is None and fitting:
        first, *others = fitting
        names = tuple(layout.name for layout in others)
        return LayoutMatch(first, first.edge_sets[0], "unknown", 1, False, np.inf, names)
    return best
