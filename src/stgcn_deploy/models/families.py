"""The table of families: reference form by name; add a file and a line to add a family."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.registry import Registry

__all__ = ["FAMILIES", "Family", "count_macs", "graph_forms", "reference_form"]


class Family(Protocol):
    """One network family.

    Attributes:
        title: one line for people, with the paper.
        graph_forms: the deploy forms that its maths allows.
    """

    title: str
    graph_forms: tuple[str, ...]

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """The untrained reference form: native input -> logits (N, classes)."""

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """The same function as `reference`, as a fast graph."""

    def macs(self, spec: NetworkSpec, frames: int, persons: int, *, aggregate: bool = False) -> int:
        """Multiply-accumulates of one clip (1 MAC = 2 FLOP).

        Args:
            aggregate: as the fastest exact form does them, instead of as the network was trained.
        """


_HERE = "stgcn_deploy.models"

FAMILIES: Registry[Family] = Registry(
    "family",
    {
        "stgcn": f"{_HERE}.stgcn:FAMILY",
        "stgcnpp": f"{_HERE}.stgcnpp:FAMILY",
        "twostream": f"{_HERE}.twostream:FAMILY",
        "ensemble": f"{_HERE}.ensemble:FAMILY",
        "agcn": f"{_HERE}.agcn:FAMILY",
        "aagcn": f"{_HERE}.aagcn:FAMILY",
        "stgcn-legacy": f"{_HERE}.legacy:FAMILY",
        "tsstg": f"{_HERE}.tsstg:FAMILY",
        "paddle-agcn": f"{_HERE}.paddleagcn:FAMILY",
        "ctrgcn": f"{_HERE}.ctrgcn:FAMILY",
        "ctrgcn-baseline": f"{_HERE}.ctrgcn_baseline:FAMILY",
        "dgstgcn": f"{_HERE}.dgstgcn:FAMILY",
        "msg3d": f"{_HERE}.msg3d:FAMILY",
    },
)


def count_macs(spec: NetworkSpec, *, frames: int, persons: int, aggregate: bool = False) -> int:
    """See Family.macs."""
    return FAMILIES[spec.family].macs(spec, frames, persons, aggregate=aggregate)


def graph_forms(spec: NetworkSpec) -> tuple[str, ...]:
    """The deploy forms of a network; of an ensemble, those that all its members have."""
    forms = FAMILIES[spec.family].graph_forms
    for member in spec.members:
        forms = tuple(form for form in forms if form in graph_forms(member))
    return forms


def reference_form(spec: NetworkSpec) -> nn.Module:
    """The untrained reference form of a spec."""
    return FAMILIES[spec.family].reference(spec)
