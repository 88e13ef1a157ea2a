"""Reading a checkpoint file: every container of the family, and no code of the file's."""

from __future__ import annotations

import argparse
import builtins
import collections
import io
import os
import pickle
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CONTAINERS, save, tiny

from stgcn_deploy.checkpoints.unwrap import RestrictedUnpickler, read_container
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    StgcnError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)


class Net(torch.nn.Module):
    """A network of the user's, saved whole."""

    def __init__(self) -> None:
        super().__init__()
        self.fcn = torch.nn.Linear(2, 2)


class Bomb:
    """Unpickling it makes a file: proof that code ran."""

    def __init__(self, marker: Path, call: Callable[..., object] = os.system) -> None:
        self.marker, self.call = marker, call

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        if self.call is os.system:
            return os.system, (f"touch {self.marker}",)
        if self.call is exec:
            return exec, (f"open({str(self.marker)!r}, 'w').close()",)
        return self.call, (str(self.marker),)


def _saved(value: object, path: Path, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_container(path).tensors


# ---- containers ------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "other_head"])
def test_every_container_holds_the_same_tensors(tmp_path: Path, container: str) -> None:
    state = tiny("stgcn")
    found = _tensors(save(state, tmp_path / "tiny.pt", container))
    assert list(found) == list(state)
    tolerance = 1e-3 if container == "half" else 0
    for key, tensor in state.items():
        assert torch.allclose(found[key].to(tensor.dtype), tensor, atol=tolerance), key


@pytest.mark.parametrize("wrapper", ["net", "network", "weights", "params", "ema", "model_ema"])
def test_other_usual_wrappers_are_opened(tmp_path: Path, wrapper: str) -> None:
    found = read_container(_saved({wrapper: tiny("stgcn"), "epoch": 3}, tmp_path / "a.pt"))
    assert "A" in found.tensors
    assert any(wrapper in step for step in found.steps)


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "0.", "student."])
def test_a_prefix_is_removed_only_where_all_keys_have_it(tmp_path: Path, prefix: str) -> None:
    state = {f"{prefix}{key}": tensor for key, tensor in tiny("stgcn").items()}
    assert "A" in _tensors(_saved(state, tmp_path / "all.pt"))
    state["A"] = state.pop(f"{prefix}A")
    assert f"{prefix}fcn.weight" in _tensors(_saved(state, tmp_path / "mixed.pt"))


def test_prefixes_are_removed_one_after_the_other(tmp_path: Path) -> None:
    state = {f"module.model.{key}": tensor for key, tensor in tiny("stgcn").items()}
    found = read_container(_saved(state, tmp_path / "a.pt"))
    assert "A" in found.tensors
    assert len(found.steps) == 2


def test_trained_weights_win_over_their_average_and_say_so(tmp_path: Path) -> None:
    value = {"state_dict": tiny("stgcn"), "ema_state_dict": tiny("stgcn-plain")}
    found = read_container(_saved(value, tmp_path / "a.pt"))
    assert torch.equal(found.tensors["fcn.weight"], tiny("stgcn")["fcn.weight"])
    assert any("ema_state_dict" in step for step in found.steps)


def test_the_format_before_torch_1_6_is_read(tmp_path: Path) -> None:
    path = _saved(tiny("stgcn"), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(_tensors(path)["A"], tiny("stgcn")["A"])


def test_names_and_numbers_beside_the_weights_are_kept(tmp_path: Path) -> None:
    meta = {"CLASSES": ["a", "b"], "config": "text", "epoch": 4, "deep": {"deeper": {"x": 1}}}
    found = read_container(_saved({"state_dict": tiny("stgcn"), "meta": meta}, tmp_path / "a.pt"))
    assert found.meta["meta"]["CLASSES"] == ["a", "b"]
    assert found.meta["meta"]["config"] == "text"


# ---- records of other libraries --------------------------------------------------------------


def _foreign_class() -> type:
    """A class of a library that is gone when the file is read."""
    module = types.ModuleType("mmengine_gone.logging")
    made = type("HistoryBuffer", (), {"__module__": module.__name__})
    module.HistoryBuffer = made  # type: ignore[attr-defined]
    sys.modules["mmengine_gone"] = types.ModuleType("mmengine_gone")
    sys.modules[module.__name__] = module
    return made


def test_records_of_a_library_that_is_not_here_are_left_out(tmp_path: Path) -> None:
    buffer = _foreign_class()()
    buffer.history = np.arange(3.0)
    path = _saved({"state_dict": tiny("stgcn"), "message_hub": buffer}, tmp_path / "epoch.pth")
    for name in ("mmengine_gone", "mmengine_gone.logging"):
        del sys.modules[name]
    found = read_container(path)
    assert torch.equal(found.tensors["A"], tiny("stgcn")["A"])
    assert any("left out" in step for step in found.steps)
    assert "mmengine_gone" not in sys.modules


@pytest.mark.parametrize(
    "record",
    [
        argparse.Namespace(lr=0.1),
        Path("somewhere"),
        collections.Counter("ab"),
        collections.defaultdict(list),
        np.float64(3.0),
        {1, 2},
        torch.nn.Parameter(torch.ones(2)),
        torch.device("cpu"),
        torch.Size([1, 2]),
        torch.float16,
    ],
    ids=lambda record: type(record).__name__,
)
def test_training_records_do_not_hide_the_weights(tmp_path: Path, record: object) -> None:
    value = {"state_dict": tiny("stgcn"), "hyper_parameters": record}
    found = read_container(_saved(value, tmp_path / "a.ckpt"))
    assert torch.equal(found.tensors["fcn.bias"], tiny("stgcn")["fcn.bias"])


def test_reading_is_silent(tmp_path: Path) -> None:
    path = _saved(
        {"state_dict": tiny("stgcn"), "args": argparse.Namespace()},
        tmp_path / "old.pt",
        _use_new_zipfile_serialization=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_container(path)
    assert [str(w.message) for w in caught] == []


# ---- files that would run code ---------------------------------------------------------------

CALLS: list[Callable[..., object]] = [os.system, exec, os.mkdir]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("where", ["alone", "beside", "inside"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_that_would_run_code_is_refused_before_it_does(
    tmp_path: Path, call: Callable[..., object], where: str, zipped: bool
) -> None:
    marker = tmp_path / "ran"
    bomb = Bomb(marker, call)
    value: object = {
        "alone": bomb,
        "beside": {"state_dict": tiny("stgcn"), "meta": bomb},
        "inside": {**tiny("stgcn"), "extra": bomb},
    }[where]
    path = _saved(value, tmp_path / "bomb.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match=r"bomb\.pt.*which would run code"):
        read_container(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_that_would_run_code_is_refused(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "ran", tmp_path / "bomb.pt"
    path.write_bytes(pickle.dumps(Bomb(marker), protocol))
    with pytest.raises(StgcnError, match=r"bomb\.pt"):
        read_container(path)
    assert not marker.exists()


def test_the_bomb_of_these_tests_does_go_off(tmp_path: Path) -> None:
    for call in CALLS:
        marker = tmp_path / call.__name__
        pickle.loads(pickle.dumps(Bomb(marker, call)))
        assert marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("nt", "system"),
        ("os", "popen"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("shutil", "rmtree"),
        ("socket", "create_connection"),
        ("importlib", "import_module"),
        ("ctypes", "CDLL"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("pickle", "loads"),
        ("runpy", "run_path"),
    ],
)
def test_functions_of_the_standard_library_are_refused_by_name(module: str, name: str) -> None:
    with pytest.raises(UnsafeFileError, match=name):
        RestrictedUnpickler(io.BytesIO()).find_class(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.jit", "load"),
        ("torch", "ops.load_library"),
        ("torch.serialization", "load"),
        ("numpy", "load"),
        ("numpy.testing._private.utils", "runstring"),
        ("somewhere", "Thing"),
    ],
)
def test_functions_of_other_libraries_are_never_handed_out(module: str, name: str) -> None:
    stand_in = RestrictedUnpickler(io.BytesIO()).find_class(module, name)
    assert isinstance(stand_in, type)
    assert stand_in.__module__ == "stgcn_deploy.checkpoints.unwrap"
    assert vars(stand_in("anything", key="thing")) == {}


# ---- files that are something else -----------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [Net(), torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.nn.Linear(2, 2)],
    ids=["user class", "Sequential", "Linear"],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_whole_pickled_network_is_refused_with_the_way_out(
    tmp_path: Path, module: torch.nn.Module, wrapped: bool
) -> None:
    path = _saved({"model": module, "epoch": 1} if wrapped else module, tmp_path / "whole.pt")
    with pytest.raises(UnsupportedCheckpointError, match=r"whole\.pt.*whole pickled network") as e:
        read_container(path)
    assert "state_dict()" in str(e.value)


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))
    with pytest.raises(UnsupportedCheckpointError, match="TorchScript"):
        read_container(path)


@pytest.mark.parametrize(
    "value",
    [
        {"state_dict": b"\x00secret", "pytorch-lightning_version": "2"},
        {"state_dict": b"\x00", "state_dict_encrypted": True},
        {"model": {"state_dict": b"\x00secret"}},
    ],
    ids=["bytes", "flag", "nested"],
)
def test_an_encrypted_state_dict_is_refused_as_such(tmp_path: Path, value: object) -> None:
    path = _saved(value, tmp_path / "tao.pth")
    with pytest.raises(UnsupportedCheckpointError, match="encrypted"):
        read_container(path)


@pytest.mark.parametrize(
    "value",
    [{}, [], 7, "text", {"epoch": 3}, {"state_dict": {}}, {"state_dict": {"a": 1}}, torch.ones(2)],
    ids=str,
)
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    path = _saved(value, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt holds no state dict"):
        read_container(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.pt"
    path.touch()
    with pytest.raises(FileUnreadableError, match="is empty"):
        read_container(path)


def test_a_text_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "notes.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint"):
        read_container(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, zipped: bool, share: float) -> None:
    path = _saved(tiny("stgcn"), tmp_path / "cut.pt", _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FileUnreadableError, match=r"cut\.pt"):
        read_container(path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "document.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(FileUnreadableError, match=r"document\.pt"):
        read_container(path)


def test_a_zip_that_claims_to_unpack_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = _saved(tiny("stgcn"), tmp_path / "bomb.pt")
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\x01\x02")
    for _ in range(2):
        data[entry + 24 : entry + 28] = (3 << 30).to_bytes(4, "little")
        entry = data.find(b"PK\x01\x02", entry + 4)
    path.write_bytes(data)
    with pytest.raises(UnsafeFileError, match="unpacks to more than"):
        read_container(path)


def test_a_file_of_many_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(5 << 30)  # sparse: takes no room
    with pytest.raises(FileUnreadableError, match=r"5\.0 GiB"):
        read_container(path)


@pytest.mark.parametrize("name", ["absent.pt", "folder"])
def test_what_is_no_file_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileUnreadableError, match="cannot read"):
        read_container(tmp_path / name)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_never_give_another_kind_of_error(tmp_path: Path, seed: int) -> None:
    """Whatever a download did to a file: it is read, or refused as an error of ours."""
    rng = np.random.default_rng(seed)
    path = _saved(
        {"state_dict": {"A": torch.ones(2, 3), "b": torch.zeros(4)}, "note": "text"},
        tmp_path / "damaged.pt",
        _use_new_zipfile_serialization=bool(seed % 2),
    )
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), size=4):
        data[place] = int(rng.integers(0, 256))
    path.write_bytes(data)
    try:
        found = read_container(path)
    except StgcnError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.tensors.values())


def test_reading_opens_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that names a module of ours gets a stand-in, not the module."""
    monkeypatch.setattr(builtins, "eval", None)
    path = _saved({"state_dict": tiny("stgcn"), "net": Net}, tmp_path / "a.pt")
    assert "A" in read_container(path).tensors
