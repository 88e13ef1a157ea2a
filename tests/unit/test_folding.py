"""The algebra of the deploy form, in float64, on random normalisations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stgcn_deploy.models.blocks import GraphConv, InputNorm, MultiScaleTemporalConv
from stgcn_deploy.models.folding import (
    GraphWeights,
    bn_affine,
    fold_conv,
    fold_graph_conv,
    input_affine,
    join_affine,
)
from stgcn_deploy.models.spec import BlockSpec, BranchSpec

K, V, T = 3, 5, 4
EXACT = 1e-10
seeds = st.integers(0, 10_000)


def _randomise(module: nn.Module, seed: int) -> nn.Module:
    """Trained-looking numbers everywhere, in float64, variances from tiny to large."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    module.double().eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.exp(2 * draw(tensor)))
            elif tensor.is_floating_point():
                tensor.copy_(draw(tensor))
    return module


def _clip(channels: int, seed: int, n: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn((n, channels, T, V), generator=generator, dtype=torch.float64)


def _close(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() <= EXACT * wanted.abs().max().clamp(min=1))


def _graph(folded: GraphWeights, x: Tensor) -> Tensor:
    """A folded graph convolution, written out as its formula."""
    raw = x
    if folded.input_scale is not None:
        x = x * folded.input_scale[None, :, None, :]
    y = torch.einsum("koc,nctv,kvw->notw", folded.weights, x, folded.adjacency)
    y = y + folded.bias[None, :, None, :]
    if folded.shortcut is not None:
        y = y + torch.einsum("oc,nctv->notv", folded.shortcut, x)
    return torch.relu(y + raw if folded.identity else y)


@given(seeds, st.integers(1, 6))
def test_a_normalisation_is_one_multiply_and_one_add(seed: int, channels: int) -> None:
    bn = _randomise(nn.BatchNorm2d(channels), seed)
    x = _clip(channels, seed)
    scale, shift = bn_affine(bn)  # type: ignore[arg-type]
    assert _close(x * scale[:, None, None] + shift[:, None, None], bn(x))


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_a_convolution_takes_up_the_normalisation_behind_it(seed: int, ci: int, co: int) -> None:
    both = _randomise(
        nn.Sequential(nn.Conv2d(ci, co, (3, 1), padding=(1, 0)), nn.BatchNorm2d(co)), seed
    )
    folded = fold_conv(both[0], both[1])  # type: ignore[index]
    x = _clip(ci, seed)
    found = nn.functional.conv2d(x, folded.weight, folded.bias, padding=(1, 0))
    assert _close(found, both(x))


@given(seeds)
def test_without_a_normalisation_a_convolution_stays_what_it_is(seed: int) -> None:
    conv = _randomise(nn.Conv2d(2, 3, 1), seed)
    folded = fold_conv(conv)  # type: ignore[arg-type]
    assert torch.equal(folded.weight, conv.weight)  # type: ignore[arg-type]
    assert torch.equal(folded.bias, conv.bias)  # type: ignore[arg-type]


@st.composite
def blocks(draw: st.DrawFn) -> BlockSpec:
    ci = draw(st.integers(1, 4))
    shortcut = draw(st.sampled_from(["none", "conv", "identity"]))
    return BlockSpec(
        in_channels=ci,
        out_channels=ci if shortcut == "identity" else draw(st.integers(1, 4)),
        graph_residual=shortcut,
        conv_first=draw(st.booleans()),
        adjacency=draw(st.sampled_from(["plain", "importance", "offset"])),
    )


@given(blocks(), seeds)
def test_a_graph_convolution_is_one_sum_over_subsets(spec: BlockSpec, seed: int) -> None:
    gcn = _randomise(GraphConv(spec, K, V), seed)
    x = _clip(spec.in_channels, seed)
    assert _close(_graph(fold_graph_conv(gcn), x), gcn(x))  # type: ignore[arg-type]


@given(blocks(), seeds)
def test_the_input_normalisation_moves_into_the_first_graph_convolution(
    spec: BlockSpec, seed: int
) -> None:
    gcn = _randomise(GraphConv(spec, K, V), seed)
    folded = fold_graph_conv(gcn)  # type: ignore[arg-type]
    if folded.identity:
        return  # x itself is added, so it must be normalised before
    generator = torch.Generator().manual_seed(seed)
    scale, shift = torch.randn(
        (2, spec.in_channels, V), generator=generator, dtype=torch.float64
    ).unbind()
    x = _clip(spec.in_channels, seed)
    wanted = gcn(x * scale[None, :, None, :] + shift[None, :, None, :])
    assert _close(_graph(folded.with_input(scale, shift), x), wanted)


def test_the_bias_differs_from_joint_to_joint() -> None:
    """A plain convolution bias would be wrong: columns of A do not all add up alike."""
    gcn = _randomise(GraphConv(BlockSpec(2, 3), K, V), 0)
    bias = fold_graph_conv(gcn).bias  # type: ignore[arg-type]
    assert float((bias - bias[:, :1]).abs().max()) > 1e-3


@given(seeds, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_data_bn_is_numbered_by_joint_then_channel(
    seed: int, persons: int, channels: int, per_person: bool
) -> None:
    features = V * channels * (persons if per_person else 1)
    norm = _randomise(InputNorm(features, per_person=per_person), seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((2, persons, T, V, channels), generator=generator, dtype=torch.float64)
    scale, shift = input_affine(norm, V, persons)  # type: ignore[arg-type]
    assert scale.shape == ((persons if per_person else 1), channels, V)
    plain = x.permute(0, 1, 4, 2, 3)
    found = plain * scale[None, :, :, None, :] + shift[None, :, :, None, :]
    assert _close(found.reshape(2 * persons, channels, T, V), norm(x))


@given(seeds)
def test_the_normalisation_behind_the_join_is_cut_branch_by_branch(seed: int) -> None:
    kinds = (BranchSpec("conv", 2), BranchSpec("max", 1), BranchSpec("1x1", 3, kernel=1))
    tcn = _randomise(MultiScaleTemporalConv(BlockSpec(4, 4, branches=kinds)), seed)
    parts = join_affine(tcn)  # type: ignore[arg-type]
    scale, shift = bn_affine(tcn.join_bn)  # type: ignore[arg-type]
    assert [len(s) for s, _ in parts] == [2, 1, 3]
    assert torch.equal(torch.cat([s for s, _ in parts]), scale)
    assert torch.equal(torch.cat([t for _, t in parts]), shift)


@pytest.mark.parametrize("forgotten", ["bias", "weights", "adjacency"])
def test_a_fold_that_forgets_something_would_be_noticed(forgotten: str) -> None:
    spec = BlockSpec(2, 3, adjacency="importance")
    gcn = _randomise(GraphConv(spec, K, V), 1)
    folded = fold_graph_conv(gcn)  # type: ignore[arg-type]
    value = getattr(folded, forgotten)
    wrong = GraphWeights(
        **{**vars(folded), forgotten: value * 1.01},  # type: ignore[arg-type]
    )
    x = _clip(2, 1)
    assert not _close(_graph(wrong, x), gcn(x))
