"""Every tensor of a file is used once, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from checkpoints import TINY, pyskl, save, stgcn, tiny, twostream
from torch import Tensor, nn

from stgcn_deploy.checkpoints.accounting import (
    KeyMap,
    Tensors,
    bn_keys,
    conv_keys,
    load_tensors,
)
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.errors import CheckpointError, KeyMismatchError

COUNTED = "num_batches_tracked"


def _net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def _map() -> KeyMap:
    return KeyMap(conv_keys("0", "fc") | bn_keys("1", "norm"), unused=(r"^leftover\.",))


def _state() -> dict[str, Tensor]:
    theirs = {"fc.weight": torch.ones(3, 2), "fc.bias": torch.zeros(3)}
    norm = {"weight": 2.0, "bias": 0.5, "running_mean": 0.25, "running_var": 4.0}
    return theirs | {f"norm.{key}": torch.full((3,), value) for key, value in norm.items()}


def _loaded(state: dict[str, Tensor]) -> nn.Module:
    return load_tensors(_net(), Tensors(state, "file.pt"), _map())


def test_tensors_come_to_their_places() -> None:
    net = _loaded(_state())
    assert torch.equal(net[0].weight, torch.ones(3, 2))  # type: ignore[index]
    assert torch.equal(net[1].running_var, torch.full((3,), 4.0))  # type: ignore[index]
    assert not net.training


def test_loaded_tensors_share_no_memory_with_the_file() -> None:
    state = _state()
    net = _loaded(state)
    state["fc.weight"].zero_()
    assert torch.equal(net[0].weight, torch.ones(3, 2))  # type: ignore[index]


@pytest.mark.parametrize("key", ["norm.num_batches_tracked", "leftover.bias"])
def test_bookkeeping_and_unused_keys_may_be_there(key: str) -> None:
    _loaded({**_state(), key: torch.tensor(1.0)})


@pytest.mark.parametrize("key", _state())
def test_a_missing_key_is_named(key: str) -> None:
    state = _state()
    del state[key]
    with pytest.raises(KeyMismatchError, match=f"1 missing: {key}"):
        _loaded(state)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(KeyMismatchError, match=r"1 unknown: attention\.weight") as caught:
        _loaded({**_state(), "attention.weight": torch.ones(1)})
    assert "file.pt" in str(caught.value)


def test_a_renamed_key_is_told_from_a_lost_one() -> None:
    state = _state()
    state["fc.wieght"] = state.pop("fc.weight")
    with pytest.raises(KeyMismatchError, match=r"did you mean 'fc\.wieght'"):
        _loaded(state)


def test_many_wrong_keys_are_counted_and_the_list_cut() -> None:
    extra = {f"x{index:02}": torch.ones(1) for index in range(30)}
    with pytest.raises(KeyMismatchError, match=r"30 unknown: x00, .* and 22 more"):
        _loaded({**_state(), **extra})


@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (1, 3, 2), (3, 1, 2)])
def test_axes_of_length_one_may_come_and_go(shape: tuple[int, ...]) -> None:
    weight = torch.arange(6.0).reshape(shape)
    net = _loaded({**_state(), "fc.weight": weight})
    assert torch.equal(net[0].weight, torch.arange(6.0).reshape(3, 2))  # type: ignore[index]


@pytest.mark.parametrize("shape", [(2, 3), (6,), (3, 2, 2), ()])
def test_any_other_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(KeyMismatchError, match=r"'fc\.weight' has shape"):
        _loaded({**_state(), "fc.weight": torch.ones(shape)})


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_a_tensor_without_numbers_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(KeyMismatchError, match=r"'fc\.weight' is empty"):
        _loaded({**_state(), "fc.weight": torch.ones(shape)})


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_whole_numbers_are_no_weights(dtype: torch.dtype) -> None:
    with pytest.raises(KeyMismatchError, match="expected floating point"):
        _loaded({**_state(), "fc.weight": torch.ones(3, 2, dtype=dtype)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype: torch.dtype) -> None:
    net = _loaded({**_state(), "fc.weight": torch.ones(3, 2, dtype=dtype)})
    assert net[0].weight.dtype == torch.float32  # type: ignore[index]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["fc.weight", "norm.running_var"])
def test_numbers_that_are_none_are_refused_and_counted(key: str, value: float) -> None:
    state = _state()
    state[key].view(-1)[1] = value
    with pytest.raises(CheckpointError, match=rf"{key}' holds 1 NaN or infinite"):
        _loaded(state)


def test_doubles_too_large_for_float32_are_refused() -> None:
    state = _state()
    state["fc.weight"] = torch.full((3, 2), 1e300, dtype=torch.float64)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        _loaded(state)


def test_a_key_map_that_forgets_a_tensor_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="disagree"):
        load_tensors(_net(), Tensors(_state(), "file.pt"), KeyMap(conv_keys("0", "fc")))


def test_a_missing_tensor_is_asked_for_with_the_nearest_name() -> None:
    with pytest.raises(KeyMismatchError, match=r"'fc\.weigt' is missing; did you mean 'fc.weight'"):
        Tensors(_state(), "file.pt")["fc.weigt"]


@pytest.mark.parametrize(
    ("keys", "pattern", "count"),
    [(["b.0.x", "b.1.x", "b.1.y"], r"b\.(\d+)\.", 2), (["b.0.x"], r"b\.(\d+)\.", 1)],
)
def test_blocks_are_counted(keys: list[str], pattern: str, count: int) -> None:
    assert Tensors(dict.fromkeys(keys, torch.ones(1)), "f").indices(pattern) == count


@pytest.mark.parametrize("keys", [["b.0.x", "b.2.x"], ["b.1.x"], ["c.0.x"], []])
def test_a_gap_between_blocks_is_refused(keys: list[str]) -> None:
    with pytest.raises(KeyMismatchError, match="without a gap"):
        Tensors(dict.fromkeys(keys, torch.ones(1)), "f").indices(r"b\.(\d+)\.")


# ---- whole checkpoints: what happens to one key of many ---------------------------------------

# Two blocks each: all kinds of keys, few of each kind.
SAMPLED: dict[str, Callable[[], dict[str, Tensor]]] = {
    "stgcn": lambda: stgcn(widths=(8, 16)),
    "twostream": lambda: twostream(widths=(8, 16), layout="openpose18", edge_set=None),
    "pyskl": lambda: pyskl(widths=(8, 16), adjacency="offset", conv_first=False),
    "stgcnpp": lambda: pyskl(
        widths=(12, 24), adjacency="plain", graph_residual=True, branches=True
    ),
}


def _whole(state: dict[str, Tensor]) -> None:
    """Read the tensors as the file that they would be."""
    with TemporaryDirectory() as folder:
        load_checkpoint(save(state, Path(folder) / "tiny.pt"))


def _keys(name: str) -> list[str]:
    """The first key of each kind; blocks repeat."""
    kinds: dict[str, str] = {}
    for key in SAMPLED[name]():
        if not key.endswith(COUNTED):
            kinds.setdefault(re.sub(r"(networks|gcn|importance|branches)\.\d", r"\1.#", key), key)
    return list(kinds.values())


@pytest.mark.parametrize("name", TINY)
def test_every_tiny_checkpoint_loads(name: str) -> None:
    _whole(tiny(name))


@pytest.mark.parametrize("name", TINY)
def test_counters_of_training_are_not_needed(name: str) -> None:
    _whole({k: t for k, t in tiny(name).items() if not k.endswith(COUNTED)})


@pytest.mark.parametrize(("name", "key"), [(n, k) for n in SAMPLED for k in _keys(n)])
def test_no_key_can_be_dropped_or_renamed(name: str, key: str) -> None:
    state = SAMPLED[name]()
    tensor = state.pop(key)
    with pytest.raises(CheckpointError):
        _whole(state)
    state[f"{key}_"] = tensor
    with pytest.raises(CheckpointError):
        _whole(state)


SPOILED: dict[str, Callable[[Tensor], Tensor]] = {
    "hollow": lambda tensor: torch.zeros([0, *tensor.shape[1:]]),
    "scalar": lambda tensor: torch.tensor(1.0),
    "longer": lambda tensor: torch.cat([tensor, tensor]),
    "integer": lambda tensor: tensor.long(),
}


@pytest.mark.parametrize("spoiled", SPOILED)
@pytest.mark.parametrize(
    ("name", "key"), [(n, k) for n in ("stgcn", "pyskl", "stgcnpp") for k in _keys(n)]
)
def test_no_tensor_can_be_spoiled(name: str, key: str, spoiled: str) -> None:
    state = SAMPLED[name]()
    state[key] = SPOILED[spoiled](state[key])
    with pytest.raises(CheckpointError):
        _whole(state)


@pytest.mark.parametrize("name", TINY)
def test_a_key_of_another_network_is_refused(name: str) -> None:
    with pytest.raises(KeyMismatchError, match="temporal_attention"):
        _whole({**tiny(name), "temporal_attention.weight": torch.ones(2, 2)})


@pytest.mark.parametrize("name", TINY)
def test_the_order_of_keys_does_not_matter(name: str) -> None:
    state = tiny(name)
    _whole(dict(reversed(state.items())))
