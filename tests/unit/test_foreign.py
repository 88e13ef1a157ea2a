"""Networks that are recognised and not deployed: each is refused with its name and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import tiny

from stgcn_deploy.checkpoints.accounting import Tensors
from stgcn_deploy.checkpoints.codebases import CODEBASES, UNSUPPORTED, recognise
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.errors import UnsupportedCheckpointError

State = dict[str, torch.Tensor]


def state(*keys: str) -> State:
    return {key: torch.ones(1) for key in keys}


def continual(layer: str = "layers.layer{}", graph: str = "gcn.g_conv.0.weight") -> State:
    """Keys of a network of continual-skeletons."""
    first = state(
        "data_bn.weight", "layers.layer1.gcn.A", "layers.layer1.gcn.graph_attn",
        "layers.layer1.gcn.g_conv.0.weight", "layers.layer1.tcn.t_conv.weight", "fc.weight",
    )  # fmt: skip
    return first | state(*(f"{layer.format(number)}.{graph}" for number in range(2, 11)))


# title -> keys as such files hold them, and a word of the reason.
FOREIGN: dict[str, tuple[State, str]] = {
    "S-TR": (continual(graph="gcn.attention_conv.qkv_conv.weight"), "queries and keys"),
    "S-TR ": (
        continual("layers.layer{}.0.1", "gcn.attention_conv.qkv_conv.weight"),
        "queries and keys",
    ),
    "a Co* network": (continual("layers.layer{}.0.1"), "one frame after the other"),
    "a network of continual-skeletons": (continual(), r"\*Mod"),
    "a network of continual-skeletons ": (
        continual(graph="gcn.a_conv.0.weight"),
        "no file says which",
    ),
    "Realtime-ST-GCN with batch normalisation": (
        state(
            "A", "norm_in.norm.weight", "norm_in.norm.bias", "fcn_in.weight", "fcn_out.weight",
            "st_gcn.0.conv.weight", "st_gcn.0.edge_importance", "st_gcn.0.bn_relu.0.norm.weight",
        ),
        "no running statistics",
    ),
    "Realtime-ST-GCN with batch normalisation ": (
        state("A", "norm_in.norm.weight", "fcn_in.weight", "gcn_networks.0.gcn.conv.weight"),
        "no running statistics",
    ),
    "rt-st-gcn": (
        state("A", "norm_in.weight", "fcn_in.weight", "st_gcn.0.conv.weight", "fcn_out.weight"),
        "for every frame",
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", FOREIGN)
def test_it_is_refused_by_name_and_reason(title: str, tmp_path: Path) -> None:
    keys, reason = FOREIGN[title]
    with pytest.raises(UnsupportedCheckpointError, match=reason) as caught:
        recognise(Tensors(keys, "foreign.pt"))
    message = str(caught.value)
    assert message.startswith("foreign.pt: these are the keys of ")
    assert title.strip() in message
    assert "not supported: " in message
    torch.save({"state_dict": keys, "pytorch-lightning_version": "1.2"}, tmp_path / "foreign.pt")
    with pytest.raises(UnsupportedCheckpointError, match=reason):
        load_checkpoint(tmp_path / "foreign.pt")


def test_every_line_of_the_table_is_tested() -> None:
    refused = []
    for keys, _ in FOREIGN.values():
        with pytest.raises(UnsupportedCheckpointError) as caught:
            recognise(Tensors(keys, "foreign.pt"))
        refused.append(str(caught.value))
    for _, title, reason in UNSUPPORTED:
        assert any(title in message and reason in message for message in refused), title


@pytest.mark.parametrize("title", FOREIGN)
def test_no_codebase_takes_it(title: str) -> None:
    tensors = Tensors(FOREIGN[title][0], "foreign.pt")
    assert [name for name in CODEBASES if CODEBASES[name].matches(tensors)] == []


def test_the_fork_with_attention_is_refused_though_all_of_st_gcn_is_there(tmp_path: Path) -> None:
    fork = {**tiny("stgcn"), "attention_block.fcn.0.weight": torch.ones(18, 75)}
    torch.save(fork, tmp_path / "fork.pt")
    with pytest.raises(UnsupportedCheckpointError, match=r"maicth.*attention.*not supported"):
        load_checkpoint(tmp_path / "fork.pt")
