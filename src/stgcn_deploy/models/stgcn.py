"""ST-GCN: one stream, plain temporal convolution (Yan et al., AAAI 2018, arXiv 1801.07455)."""

from __future__ import annotations

from torch import nn

from stgcn_deploy.models.deploy import DeployNetwork
from stgcn_deploy.models.network import Network
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import NetworkSpec

__all__ = ["FAMILY", "OneStream"]


class OneStream:
    """Families whose networks are one Network: the spec says which temporal half they have."""

    graph_forms = ("aggregate", "einsum", "matmul")

    def __init__(self, title: str) -> None:
        self.title = title

    def reference(self, spec: NetworkSpec) -> nn.Module:
        """See Family.reference."""
        return Network(spec)

    def deploy(self, reference: nn.Module, graph_form: str, shape: InputShape) -> nn.Module:
        """See Family.deploy."""
        assert isinstance(reference, Network)
        return DeployNetwork(reference, graph_form, shape).eval()


FAMILY = OneStream("ST-GCN (arXiv 1801.07455)")
