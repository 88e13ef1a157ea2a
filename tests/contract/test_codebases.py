"""What every codebase owes its users, over the whole table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import CODEBASE_OF, TINY, references, save, tiny

from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, load_tensors
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.exporter.inspect import describe_checkpoint
from stgcn_deploy.models.families import FAMILIES, count_macs, reference_form
from stgcn_deploy.skeleton.axes import AXIS_ORDERS


def _loaded(folder: Path, name: str) -> LoadedCheckpoint:
    return load_checkpoint(save(tiny(name), folder / "tiny.pt"), Hints(frames=20))


# Codebases that neither a tiny checkpoint nor a recorded network stands for: their own tests do.
OWN_TESTS = {
    "ctr-gcn-baseline": "unit/test_ctrgcn.py",
    "mmaction2-0.x": "unit/test_mmaction0.py",
    "mmaction2-0.x-agcn": "unit/test_agcn.py",
    "mmaction2-ctrgcn": "ctrfiles.py",
    "mmaction2-msg3d": "unit/test_msg3d.py",
    "paddle-agcn": "unit/test_paddle.py",
    "paddle-agcn2s": "unit/test_paddle.py",
    "paddle-ctrgcn": "unit/test_paddle.py",
    "paddle-stgcn": "unit/test_paddle.py",
}


def test_every_codebase_has_files_that_it_is_tested_on() -> None:
    recorded = {codebase for codebase, _, _ in references().values()}
    assert set(CODEBASES) - set(CODEBASE_OF.values()) - recorded == set(OWN_TESTS)
    for codebase, file in OWN_TESTS.items():
        text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
        assert f'"{codebase}"' in text, codebase


@pytest.mark.parametrize("codebase", CODEBASES)
def test_every_codebase_says_what_it_is_and_what_its_clips_hold(codebase: str) -> None:
    found = CODEBASES[codebase]
    assert found.title
    assert len(found.preprocessing) > 20


@pytest.mark.parametrize("name", TINY)
def test_every_tensor_of_the_reference_form_has_its_key_in_the_file(name: str) -> None:
    tensors = Tensors(tiny(name), "file.pt")
    codebase = CODEBASES[CODEBASE_OF[name]]
    spec = codebase.describe(tensors, Hints()).spec
    ours = {
        key for key in reference_form(spec).state_dict() if not key.endswith("num_batches_tracked")
    }
    sources = codebase.key_map(spec).sources
    assert set(sources) == ours
    assert set(sources.values()) <= set(tensors)


@pytest.mark.parametrize("name", TINY)
def test_every_tensor_of_the_file_is_used(name: str) -> None:
    tensors = Tensors(tiny(name), "file.pt")
    codebase = CODEBASES[CODEBASE_OF[name]]
    used = set(codebase.key_map(codebase.describe(tensors, Hints()).spec).sources.values())
    assert {key for key in tensors if not key.endswith("num_batches_tracked")} == used


@pytest.mark.parametrize("name", TINY)
def test_every_value_of_the_file_arrives(name: str) -> None:
    """Each tensor of the reference form is the one of its key, number by number."""
    state = tiny(name)
    tensors = Tensors(state, "file.pt")
    codebase = CODEBASES[CODEBASE_OF[name]]
    spec = codebase.describe(tensors, Hints()).spec
    key_map = codebase.key_map(spec)
    network = load_tensors(reference_form(spec), tensors, key_map)
    for ours, theirs in key_map.sources.items():
        assert torch.equal(network.state_dict()[ours].flatten(), state[theirs].flatten()), ours


@pytest.mark.parametrize("name", TINY)
def test_a_key_map_with_one_entry_less_is_noticed(name: str) -> None:
    tensors = Tensors(tiny(name), "file.pt")
    codebase = CODEBASES[CODEBASE_OF[name]]
    spec = codebase.describe(tensors, Hints()).spec
    whole = dict(codebase.key_map(spec).sources)
    whole.popitem()
    with pytest.raises(AssertionError, match="disagree"):
        load_tensors(reference_form(spec), tensors, KeyMap(whole))


@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_is_described_in_plain_values(tmp_path: Path, name: str) -> None:
    found = describe_checkpoint(_loaded(tmp_path, name))
    assert found["kind"] == "checkpoint"
    assert found["codebase"] == CODEBASE_OF[name]
    assert found["family"] in FAMILIES
    assert found["axes"] in AXIS_ORDERS
    assert found["classes"] == 5
    assert found["T"] == 20
    assert found["parameters"] > 0
    assert found["macs"] > 0
    assert {fact["origin"] for fact in found["facts"]} <= {"file", "config", "option", "assumed"}
    assert all(fact["why"] for fact in found["facts"] if fact["origin"] == "assumed")


@pytest.mark.parametrize("name", TINY)
def test_parameters_are_what_training_learned(tmp_path: Path, name: str) -> None:
    """Weights, biases and masks; not the graph, and not the statistics of a normalisation."""
    kept = (".weight", ".bias", ".PA")
    learned = [
        tensor.numel()
        for key, tensor in tiny(name).items()
        if key.endswith(kept) or "edge_importance" in key
    ]
    assert _loaded(tmp_path, name).num_parameters == sum(learned)


@pytest.mark.parametrize("name", TINY)
def test_work_grows_with_persons_and_frames(tmp_path: Path, name: str) -> None:
    spec = _loaded(tmp_path, name).spec
    one = count_macs(spec, frames=20, persons=1)
    assert count_macs(spec, frames=40, persons=1) > 1.9 * one
    heads = (2 if spec.motion else 1) * spec.blocks[-1].out_channels * spec.num_classes
    assert count_macs(spec, frames=20, persons=3) - heads == 3 * (one - heads)


def test_multiply_accumulates_of_one_small_network_by_hand(tmp_path: Path) -> None:
    """widths (8, 8, 16), K=3, V=18, T=20, Kt=9, stride 2 in the last block, 5 classes."""
    spec = _loaded(tmp_path, "stgcn").spec
    v, k = 18, 3

    def graph(ci: int, co: int, t: int) -> int:
        return v * t * (k * ci * co + k * v * co)

    def temporal(co: int, t: int) -> int:
        return v * t * co * co * 9

    blocks = graph(3, 8, 20) + temporal(8, 20) + graph(8, 8, 20) + temporal(8, 20)
    blocks += graph(8, 16, 20) + temporal(16, 10) + v * 10 * 8 * 16
    assert count_macs(spec, frames=20, persons=2) == 2 * blocks + 16 * 5
