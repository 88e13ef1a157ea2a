"""What a skeleton is: ordered joints, the edge sets that codebases drew between them, a centre.

Several codebases use the same joints in the same order and yet connect them differently (NTU hands,
COCO bodies), so a layout owns its joints and any number of named edge sets.  For inference the
adjacency stored in the checkpoint is what counts; the layout says what each joint *is*.
"""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.errors import UsageError

__all__ = ["EdgeSet", "Layout"]

Edge = tuple[int, int]


@dataclass(frozen=True)
class EdgeSet:
    """Edges (child, parent), 0-based, as one codebase has them, and its centre joint."""

    name: str
    edges: tuple[Edge, ...]
    center: int


@dataclass(frozen=True)
class Layout:
    """Joints in the order of the V axis.

    Attributes:
        name: the one spelling of ours, e.g. "ntu25".
        joints: V joint names.
        edge_sets: at least one; the first is the default, used for pictures.
        pairs: (left, right) joint indices, for mirroring.
        dimensions: 2 when coordinates are image points (x, y, score), 3 when metric (x, y, z).

    Raises:
        UsageError: an edge or centre that names no joint, repeated names, no edges.
    """

    name: str
    joints: tuple[str, ...]
    edge_sets: tuple[EdgeSet, ...]
    pairs: tuple[Edge, ...] = ()
    dimensions: int = 2

    def __post_init__(self) -> None:
        count = len(self.joints)
        if not self.edge_sets or count < 2:
            raise UsageError(f"layout {self.name!r} needs at least two joints and one edge set.")
        if len(set(self.joints)) != count:
            raise UsageError(f"layout {self.name!r} names a joint twice.")
        for edge_set in self.edge_sets:
            named = [joint for edge in edge_set.edges for joint in edge] + [edge_set.center]
            bad = sorted({joint for joint in named if not 0 <= joint < count})
            if bad:
                raise UsageError(
                    f"layout {self.name!r}, edge set {edge_set.name!r}: joints {bad} are outside "
                    f"0..{count - 1} (indices are 0-based)."
                )

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The default edge set's edges."""
        return self.edge_sets[0].edges


def one_based(*edges: Edge) -> tuple[Edge, ...]:
    """Edges as papers print them (1-based) turned into ours (0-based)."""
    return tuple((child - 1, parent - 1) for child, parent in edges)


def left_right(joints: tuple[str, ...]) -> tuple[Edge, ...]:
    """Pairs (left, right) found by the name prefixes `left_` and `right_`."""
    index = {name: position for position, name in enumerate(joints)}
    return tuple(
        (position, index["right_" + name[5:]])
        for name, position in index.items()
        if name.startswith("left_") and "right_" + name[5:] in index
    )
