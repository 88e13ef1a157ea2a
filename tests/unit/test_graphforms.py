"""The three graph forms are one function, with the operators that each promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stgcn_deploy.models.folding import GraphWeights
from stgcn_deploy.models.graphforms import GRAPH_FORMS, graph_unit
from stgcn_deploy.models.shape import InputShape

V, T = 6, 8
FORMS = list(GRAPH_FORMS)


def _weights(
    seed: int,
    *,
    k: int = 3,
    ci: int = 4,
    co: int = 4,
    shortcut: str = "none",
    scaled: bool = False,
    plain_bias: bool = False,
) -> GraphWeights:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return GraphWeights(
        weights=draw(k, co, ci) / (k * ci) ** 0.5,
        adjacency=draw(k, V, V) / V**0.5,
        bias=draw(co, 1).expand(co, V) if plain_bias else draw(co, V),
        shortcut=draw(co, ci) if shortcut == "conv" else None,
        identity=shortcut == "identity",
        input_scale=draw(ci, V) if scaled else None,
    )


def _definition(folded: GraphWeights, x: Tensor) -> Tensor:
    """The sum over subsets, written out, in float64."""
    raw = x = x.double()
    if folded.input_scale is not None:
        x = x * folded.input_scale[None, :, None, :]
    y = folded.bias[None, :, None, :]
    for weight, adjacency in zip(folded.weights, folded.adjacency, strict=True):
        y = y + torch.einsum("oc,nctv->notv", weight, x) @ adjacency
    if folded.shortcut is not None:
        y = y + torch.einsum("oc,nctv->notv", folded.shortcut, x)
    return torch.relu(y + raw if folded.identity else y)


def _clip(channels: int, seed: int = 0, n: int = 4, t: int = T) -> Tensor:
    return torch.randn((n, channels, t, V), generator=torch.Generator().manual_seed(seed))


def _same(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() <= 1e-5 * wanted.abs().max().clamp(min=1))


shapes = st.sets(st.sampled_from("NTM")).map(lambda axes: InputShape(2, 2, T, frozenset(axes)))


@pytest.mark.parametrize("form", FORMS)
@given(
    st.integers(0, 1000),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(["none", "conv", "identity"]),
    st.booleans(),
    st.booleans(),
    shapes,
)
def test_every_form_is_the_sum_over_subsets(
    form: str,
    seed: int,
    k: int,
    ci: int,
    co: int,
    shortcut: str,
    scaled: bool,
    plain_bias: bool,
    shape: InputShape,
) -> None:
    if shortcut == "identity":
        # An identity around the unit needs the input as it is: folding never scales it then.
        co, scaled = ci, False
    folded = _weights(
        seed, k=k, ci=ci, co=co, shortcut=shortcut, scaled=scaled, plain_bias=plain_bias
    )
    x = _clip(ci, seed)
    with torch.inference_mode():
        assert _same(graph_unit(folded, form, shape)(x), _definition(folded, x))


@pytest.mark.parametrize("form", FORMS)
def test_open_frames_take_another_length(form: str) -> None:
    folded = _weights(0)
    unit = graph_unit(folded, form, InputShape(2, 2, T, frozenset("T")))
    x = _clip(4, t=3 * T)
    with torch.inference_mode():
        assert _same(unit(x), _definition(folded, x))


@pytest.mark.parametrize("form", FORMS)
def test_the_target_joint_is_the_column(form: str) -> None:
    """A and its transpose are different graphs, and no form confuses them."""
    folded = _weights(1)
    turned = GraphWeights(**{**vars(folded), "adjacency": folded.adjacency.transpose(1, 2)})
    x = _clip(4)
    with torch.inference_mode():
        assert not _same(graph_unit(turned, form, InputShape(2, 2, T))(x), _definition(folded, x))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("plain", [True, False])
def test_a_bias_that_is_the_same_for_every_joint_is_kept_once(form: str, plain: bool) -> None:
    unit = graph_unit(_weights(2, plain_bias=plain), form, InputShape(2, 2, T))
    biases = [t for name, t in unit.state_dict().items() if "bias" in name]
    assert [t.numel() for t in biases] == [4 if plain else 4 * V]


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_constants_in_float32(form: str) -> None:
    unit = graph_unit(_weights(3, shortcut="conv", scaled=True), form, InputShape(2, 2, T))
    assert {tensor.dtype for tensor in unit.state_dict().values()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in unit.parameters())


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(KeyError):
        graph_unit(_weights(0), "fourier", InputShape(2, 2, T))
