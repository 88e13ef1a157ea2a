"""Whatever one gives the commands: the right exit code, a sentence that helps, and nothing left behind."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, edit_manifest, edit_model, reseal, save, stgcn, tiny

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle, sha256_of, write_golden
from stgcn_deploy.errors import StgcnError

WRONG_USE, FAILED, MISSING = 2, 1, 3
SMALL = ("--frames", "20", "--persons", "2", "--graph-form", "aggregate")
Cli = Callable[..., Any]


class Net(torch.nn.Module):
    """A network of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.fcn = torch.nn.Linear(2, 2)


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"mkdir {self.marker}",)


def _plain(finished: Any) -> str:
    """All that was said, in one line, without the frames that wrap it."""
    return re.sub(r"[\s│]+", " ", finished.out + finished.err)


def _refused(finished: Any, code: int, message: str) -> None:
    said = _plain(finished)
    assert "Traceback" not in said
    assert "This is a bug" not in said
    assert finished.code == code, said
    assert re.search(message, said), said


def _tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ---- checkpoints -----------------------------------------------------------------------------


def _written(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _state(change: Callable[[dict[str, Any]], Any], name: str = "stgcn") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state: dict[str, Any] = tiny(name)
        change(state)
        torch.save(state, path)

    return write


def _truncated(path: Path) -> None:
    save(tiny("stgcn"), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


def _renamed(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.update({new: state.pop(old)})


def _poisoned(state: dict[str, Any]) -> None:
    state["st_gcn_networks.1.gcn.conv.weight"][0, 0] = float("nan")


def _half(state: dict[str, Any]) -> None:
    for key in [key for key in state if key.startswith("motion_stream")]:
        del state[key]


def _document(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")


TRAFFIC = {"st_blocks.0.tmp_conv1.align.align_conv.weight": torch.ones(2, 2)}
CHECKPOINTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (_written(b"version https://git-lfs"), r"not a PyTorch checkpoint.*\.pt/\.pth file"),
    "empty": (_written(b""), "is empty; the copy or download did not finish"),
    "truncated zip": (_truncated, "damaged or truncated zip archive; copy or download it again"),
    "another zip": (_document, "cannot be read as a PyTorch checkpoint"),
    "short pickle": (_written(b"\x80\x02"), "cannot be read as a PyTorch checkpoint"),
    "whole module": (lambda p: torch.save(Net(), p), r"whole pickled network.*state_dict\(\)"),
    "whole Sequential": (
        lambda p: torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), p),
        r"whole pickled network.*state_dict\(\)",
    ),
    "TorchScript": (_torchscript, "TorchScript archive"),
    "encrypted TAO": (
        lambda p: torch.save({"state_dict": b"\x93\x11", "state_dict_encrypted": True}, p),
        "encrypted .NVIDIA TAO.*Decrypt it",
    ),
    "no tensors": (lambda p: torch.save({"epoch": 3}, p), "holds no state dict"),
    "renamed key": (
        _state(_renamed("data_bn.weight", "data_bn.wieght")),
        "data_bn.weight.*missing.*did you mean 'data_bn.wieght'",
    ),
    "renamed deep key": (
        _state(_renamed("st_gcn_networks.1.tcn.2.bias", "st_gcn_networks.1.tcn.2.bais")),
        "1 missing: st_gcn_networks.1.tcn.2.bias; 1 unknown",
    ),
    "renamed deciding key": (
        _state(_renamed("st_gcn_networks.0.gcn.conv.weight", "st_gcn_networks.0.gcn.cnv.weight")),
        "resemble st-gcn",
    ),
    "dropped key": (
        _state(lambda s: s.pop("st_gcn_networks.2.residual.0.bias")),
        "1 missing: st_gcn_networks.2.residual.0.bias",
    ),
    "extra key": (
        _state(lambda s: s.update(attention=torch.ones(3))),
        "1 unknown: attention.*Nothing is loaded partially",
    ),
    "half of two streams": (_state(_half, "twostream"), "origin stream only"),
    "NaN": (_state(_poisoned), "NaN or infinite.*use an earlier checkpoint"),
    "traffic forecasting": (
        lambda p: torch.save(TRAFFIC, p),
        "traffic-forecasting STGCN .*shares only the name",
    ),
    "another network": (
        lambda p: torch.save({"layer1.0.conv1.weight": torch.ones(2)}, p),
        "no known codebase",
    ),
}


@pytest.mark.parametrize("command", ["inspect", "export"])
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_file_that_is_no_checkpoint_of_ours_is_refused(
    cli: Cli, tmp_path: Path, kind: str, command: str
) -> None:
    write, message = CHECKPOINTS[kind]
    file = tmp_path / "given.pt"
    write(file)
    arguments = (command, file) if command == "inspect" else (command, file, "-o", tmp_path / "out")
    _refused(cli(*arguments), WRONG_USE, message)
    assert _tree(tmp_path) == ["given.pt"]


@pytest.mark.parametrize("kind", ["raw", "zip", "beside", "legacy", "text protocol"])
@pytest.mark.parametrize("command", ["inspect", "export", "bench"])
def test_a_file_that_would_run_code_is_refused_before_it_does(
    cli: Cli, tmp_path: Path, kind: str, command: str
) -> None:
    marker, file = tmp_path / "ran", tmp_path / "given.pt"
    bomb = Bomb(marker)
    if kind in ("raw", "text protocol"):
        file.write_bytes(pickle.dumps(bomb, 0 if kind == "text protocol" else 2))
    else:
        value = {"state_dict": tiny("stgcn"), "meta": bomb} if kind == "beside" else bomb
        torch.save(value, file, _use_new_zipfile_serialization=kind != "legacy")
    extra = ("-o", tmp_path / "out") if command == "export" else ()
    finished = cli(command, file, *extra)
    assert not marker.exists()
    message = "not a PyTorch checkpoint" if kind == "text protocol" else "which would run code"
    _refused(finished, WRONG_USE, message)
    assert _tree(tmp_path) == ["given.pt"]


def test_the_bomb_of_these_tests_does_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_network_that_only_ever_answers_nan_is_not_exported(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "given.pt"
    _state(lambda state: state["data_bn.running_var"].fill_(-1.0))(file)
    finished = cli("export", file, "-o", tmp_path / "out", *SMALL)
    assert finished.code in (FAILED, WRONG_USE)
    assert "Traceback" not in _plain(finished)
    assert _tree(tmp_path) == ["given.pt"]


@pytest.mark.parametrize("command", ["inspect", "export"])
def test_a_missing_file_is_named(cli: Cli, tmp_path: Path, command: str) -> None:
    extra = ("-o", tmp_path / "out") if command == "export" else ()
    _refused(cli(command, tmp_path / "absent.pt", *extra), WRONG_USE, "absent.pt does not exist")
    assert _tree(tmp_path) == []


# ---- options of export -----------------------------------------------------------------------

OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "layout by a slip": (("--layout", "openpse18"), "'openpse18'; did you mean 'openpose18'"),
    "layout of another V": (("--layout", "ntu25"), "V=18 joints.*'ntu25' has 25"),
    "layout file": (("--layout", "absent.toml"), "cannot read the layout absent.toml"),
    "einsum below 12": (
        ("--opset", "11", "--graph-form", "einsum"),
        "opset 12.*aggregate or matmul",
    ),
    "opset 9": (("--opset", "9"), "opset 9 cannot be written; give 11 to 20"),
    "opset 21": (("--opset", "21"), "opset 21 cannot be written"),
    "opset word": (("--opset", "new"), "valid int|as an integer"),
    "preset": (("--preset", "realtme"), "unknown preset 'realtme'; did you mean 'realtime'"),
    "axis": (("--dynamic", "batch,frame"), "unknown axis 'frame'; did you mean 'frames'"),
    "graph form": (("--graph-form", "einsumm"), "'einsumm'; did you mean 'einsum'"),
    "batch": (("--batch", "0"), "batch must be at least 1"),
    "persons": (("--persons", "0"), "persons must be at least 1"),
    "frames": (("--frames", "0"), "frames must be at least 1"),
    "few frames": (("--frames", "3"), "3 frames are too few.*--frames 4"),
    "motion": (("--motion", "third_difference"), "first_difference"),
    "adjacency": (("--adjacency", "both"), "importance"),
    "strides word": (("--strides", "1,x,2"), "--strides takes whole numbers"),
    "strides count": (("--strides", "1,2"), "2 strides given for 3 blocks"),
    "strides zero": (("--strides", "0,1,1"), "stride"),
    "strides below zero": (("--strides", "1,-1,1"), "stride"),
    "frame rate": (("--fps", "0"), "fps"),
    "frame rate word": (("--fps", "nan"), "fps"),
    "unknown option": (("--presset", "batch"), "--preset"),
    "config": (("--config", "absent.py"), "absent.py"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    options, message = OPTIONS[kind]
    given = {**dict(zip(SMALL[::2], SMALL[1::2], strict=True))}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    flat = [part for pair in given.items() for part in pair]
    finished = cli("export", example().checkpoint, "-o", tmp_path / "out", *flat)
    _refused(finished, WRONG_USE, message)
    assert _tree(tmp_path) == []


def test_persons_that_data_bn_fixes_cannot_be_changed_or_left_open(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    file = example("stgcn-person").checkpoint
    out = tmp_path / "out"
    for options in (("--persons", "3"), ("--persons", "2", "--dynamic", "persons")):
        finished = cli("export", file, "-o", out, "--frames", "20", *options)
        _refused(finished, WRONG_USE, "data_bn has its own numbers.*--persons 2")
    assert _tree(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo\n", "2 labels for 5 classes; give one a line"),
        (b"", "0 labels for 5 classes"),
        (b"\n".join([b"x"] * 6), "6 labels for 5 classes"),
        (b"\xff\xfe\x00", "cannot read the labels"),
        (None, "cannot read the labels"),
    ],
    ids=["two", "none", "six", "binary", "absent"],
)
def test_labels_that_do_not_fit_the_classes_are_refused(
    cli: Cli,
    example: Callable[..., Any],
    tmp_path: Path,
    content: bytes | None,
    message: str,
) -> None:
    labels = tmp_path / "labels.txt"
    if content is not None:
        labels.write_bytes(content)
    before = _tree(tmp_path)
    out = tmp_path / "out"
    finished = cli("export", example().checkpoint, "-o", out, "--labels", labels, *SMALL)
    _refused(finished, WRONG_USE, message)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("label", ["two\nlines", "a\rb", "sep\u2028arated", "tab\x0bbed", ""])
def test_a_label_that_would_not_survive_its_file_is_refused(
    example: Callable[..., Any], tmp_path: Path, label: str
) -> None:
    """labels.txt has one a line: a label of two lines would shift all names behind it."""
    labels = ["a", "b", label, "d", "e"]
    try:
        made = api.export(
            example().checkpoint, tmp_path / "out", labels=labels, frames=20, persons=2,
            graph_form="aggregate", verify=False,
        )  # fmt: skip
    except StgcnError as error:
        assert "label" in str(error)  # noqa: PT017 - either is right
    else:
        assert list(made.bundle.labels) == labels


# ---- where the output goes -------------------------------------------------------------------


def test_a_place_under_a_file_cannot_be_written(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    finished = cli("export", example().checkpoint, "-o", tmp_path / "file" / "out", *SMALL)
    _refused(finished, WRONG_USE, "cannot write")
    assert _tree(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_cannot_be_written(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    finished = cli("export", example().checkpoint, "-o", tmp_path / "locked" / "out", *SMALL)
    _refused(finished, WRONG_USE, "cannot write")


@pytest.mark.parametrize("kind", ["bundle", "folder", "file"])
def test_what_exists_is_kept_without_force(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "out"
    if kind == "bundle":
        target = copied(example().bundle, tmp_path)
    elif kind == "folder":
        target.mkdir()
    else:
        target.write_text("precious", encoding="utf-8")
    before = {path: sha256_of(path) for path in tmp_path.rglob("*") if path.is_file()}
    finished = cli("export", example().checkpoint, "-o", target, *SMALL)
    _refused(finished, WRONG_USE, "exists; choose another -o, or replace it with --force")
    assert {p: sha256_of(p) for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_spares_what_is_no_bundle(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "out"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.tex").touch()
    else:
        target.touch()
    before = _tree(tmp_path)
    finished = cli("export", example().checkpoint, "-o", target, "--force", *SMALL)
    _refused(finished, WRONG_USE, "Choose another -o|to keep other files")
    assert _tree(tmp_path) == before


def test_force_replaces_a_bundle_by_the_new_one(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    target = copied(example("pyskl").bundle, tmp_path)
    finished = cli("export", example().checkpoint, "-o", target, "--force", *SMALL)
    assert finished.code == 0, finished.err
    assert Bundle(target).manifest.source.codebase == "st-gcn"
    assert os.listdir(tmp_path) == [target.name]  # noqa: PTH208 - hidden files count too


def test_a_failed_export_under_force_keeps_the_old_bundle(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    target = copied(example().bundle, tmp_path)
    bad = tmp_path / "given.pt"
    _state(lambda state: state["data_bn.running_var"].fill_(-1.0))(bad)
    assert cli("export", bad, "-o", target, "--force", *SMALL).code in (FAILED, WRONG_USE)
    assert Bundle(target).manifest.source.file == "stgcn.pt"
    assert sorted(os.listdir(tmp_path)) == ["damaged", "given.pt"]  # noqa: PTH208


STAGES = ("writing", "recording", "golden", "fresh", "outputs", "dependence")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_export_leaves_nothing(
    example: Callable[..., Any], tmp_path: Path, stage: str, error: type[BaseException]
) -> None:
    def stop_there(text: str) -> None:
        if text.startswith(stage):
            raise error(stage)

    with pytest.raises(error, match=stage):
        api.export(
            example().checkpoint, tmp_path / "out", frames=20, persons=2,
            graph_form="aggregate", progress=stop_there,
        )  # fmt: skip
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden files count too


def test_an_export_of_another_checkpoint_than_verified_is_not_written(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    """Verification against a checkpoint of other weights fails with exit code 1, and says so."""
    other = save(stgcn(seed=77), tmp_path / "other.pt")
    finished = cli("verify", example().bundle, "--checkpoint", other, "--seeds", "1")
    _refused(finished, FAILED, "verdict: FAILED")
    assert "parity with the checkpoint" in _plain(finished)


# ---- bundles ---------------------------------------------------------------------------------


def _byte(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def _manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], Any]:
    return lambda bundle: edit_manifest(bundle, change)


def _file_outside(manifest: dict[str, Any]) -> None:
    manifest["files"]["../model.onnx"] = manifest["files"]["model.onnx"]


BUNDLES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "changed byte": (_byte, r"model\.onnx is not the file that was written.*copy the bundle"),
    "missing model": (lambda b: (b / "model.onnx").unlink(), r"model\.onnx is missing"),
    "missing golden": (lambda b: (b / "golden.npz").unlink(), r"golden\.npz is missing"),
    "missing labels": (lambda b: (b / "labels.txt").unlink(), r"labels\.txt is missing"),
    "missing manifest": (
        lambda b: (b / "manifest.json").unlink(),
        "does not exist|no bundle|holds no",
    ),
    "broken manifest": (lambda b: (b / "manifest.json").write_text("{"), "not valid JSON"),
    "unknown field": (_manifest(lambda m: m.update(colour="red")), "field 'colour'"),
    "missing field": (_manifest(lambda m: m.pop("inputs")), "field 'inputs'"),
    "wrong value": (_manifest(lambda m: m["clip"].update(frames="many")), "clip.frames"),
    "later schema": (_manifest(lambda m: m.update(schema_version=9)), "schema version 9"),
    "file name outside": (_manifest(_file_outside), r"'\.\./model\.onnx' leaves the bundle"),
    "file not vouched for": (_manifest(lambda m: m["files"].pop("model.onnx")), r"model\.onnx"),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "verify": ("--seeds", "1"),
    "predict": ("clip.npy",),
    "bench": ("--duration", "0.01"),
    "inspect": (),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", BUNDLES)
def test_a_damaged_bundle_is_refused(
    cli: Cli,
    example: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    command: str,
) -> None:
    damage, message = BUNDLES[kind]
    damaged = copied(example().bundle, tmp_path)
    damage(damaged)
    monkeypatch.chdir(tmp_path)
    np.save("clip.npy", np.zeros((2, 20, 18, 3), np.float32))
    _refused(cli(command, damaged, *COMMANDS[command]), WRONG_USE, message)


def _no_golden(bundle: Path) -> None:
    write_golden(bundle, ())
    reseal(bundle)


def _garbage(name: str) -> Callable[[Path], None]:
    def write(bundle: Path) -> None:
        (bundle / name).write_bytes(b"garbage")
        reseal(bundle)

    return write


FAILING: dict[str, tuple[Callable[[Path], Any], tuple[int, ...], str]] = {
    "nothing measured": (_no_golden, (FAILED,), "no case was compared"),
    "garbage for a model": (_garbage("model.onnx"), (FAILED, WRONG_USE, MISSING), "model.onnx"),
    "garbage for golden": (_garbage("golden.npz"), (FAILED, WRONG_USE), "golden.npz"),
    "wrong opset": (_manifest(lambda m: m.update(opset=11)), (FAILED,), "opset in the file"),
    "a node less": (
        lambda b: edit_model(b, lambda model: model.graph.node.pop()),
        (FAILED, WRONG_USE, MISSING),
        "output",
    ),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_bundle_that_is_not_what_it_says_fails_its_check(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    damage, codes, message = FAILING[kind]
    damaged = copied(example().bundle, tmp_path)
    damage(damaged)
    finished = cli("verify", damaged, "--seeds", "1")
    assert finished.code in codes, _plain(finished)
    _refused(finished, finished.code, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "onnxrutime"), "unknown backend 'onnxrutime'; did you mean 'onnxruntime'"),
        (("--seeds", "0"), "seeds must be at least 1"),
        (("--rtol", "2"), "rtol must be"),
        (("--data", "clip.npy"), "give its --checkpoint too"),
        (("--checkpoint", "absent.pt"), "absent.pt does not exist"),
    ],
)
def test_a_wrong_option_of_verify_is_refused(
    cli: Cli, example: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    _refused(cli("verify", example().bundle, *arguments), WRONG_USE, message)


def test_the_checkpoint_of_another_network_cannot_judge(
    cli: Cli, example: Callable[..., Any]
) -> None:
    finished = cli("verify", example().bundle, "--checkpoint", example("pyskl").checkpoint)
    _refused(finished, WRONG_USE, "is another network.*made from stgcn.pt")


# ---- clips -----------------------------------------------------------------------------------


def _clip(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def _npy(value: Any, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "clip.npy", value, **options)
        return folder / "clip.npy"

    return write


def _file(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _holed() -> np.ndarray:
    clip = _clip(2, 20, 18, 3)
    clip[0, 3, 4] = np.nan
    return clip


def _bombed(folder: Path) -> Path:
    (folder / "clip.pkl").write_bytes(pickle.dumps({"keypoint": Bomb(folder / "ran")}))
    return folder / "clip.pkl"


CLIPS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "joints": (_npy(_clip(2, 20, 17, 3)), r"V=17 is that of coco17.*\(2, 20, 18, 3\)"),
    "channels": (_npy(_clip(2, 20, 18, 2)), "has 2 channels.*trained on"),
    "frames": (_npy(_clip(2, 50, 18, 3)), "has 50 frames, the bundle takes 20.*--fit resample"),
    "axes": (_npy(_clip(20, 54)), r"expected \(M, T, V, C\)"),
    "too many axes": (_npy(_clip(1, 1, 2, 20, 18, 3)), r"expected \(M, T, V, C\)"),
    "a prepared array": (_npy(_clip(1, 2, 20, 18, 3)), "has 2 channels.*trained on"),
    "several of them": (_npy(_clip(4, 3, 20, 18, 2)), "holds 4 recordings.*--record 0 to 3"),
    "dtype": (_npy(np.full((2, 20, 18, 3), "x")), "expected numbers"),
    "complex": (_npy(_clip(2, 20, 18, 3) + 1j), "number"),
    "digits as text": (_npy(np.full((2, 20, 18, 3), "1.5")), "number"),
    "holes": (_npy(_holed()), "3 NaN or infinite.*set missing joints to 0"),
    "infinite": (_npy(np.full((2, 20, 18, 3), np.inf)), "NaN or infinite"),
    "persons": (_npy(_clip(5, 20, 18, 3)), "has 5 persons, the bundle takes 2.*--persons"),
    "nothing": (_npy(_clip(2, 0, 18, 3)), "empty"),
    "objects": (_npy(np.full((2, 20, 18, 3), None), allow_pickle=True), "no readable .npy"),
    "suffix": (_file("clip.mp4", b""), r"no format recognises it\. Known are clip"),
    "broken npy": (_file("clip.npy", b"\x93NUMPY\x01\x00v\x00{'descr'"), "no readable .npy"),
    "empty npy": (_file("clip.npy", b""), "no readable .npy"),
    "broken json": (_file("clip.json", b"[[1, 2"), "no valid JSON"),
    "deep json": (_file("clip.json", b"[" * 200_000), "clip.json"),
    "json without keypoints": (_file("clip.json", b"{}"), 'no "keypoints"'),
    "json layout": (
        _file("clip.json", b'{"keypoints": [[[[0]]]], "layout": ["coco17"]}'),
        "layout",
    ),
    "broken pickle": (_file("clip.pkl", b"\x80\x04"), "no complete pickle"),
    "bomb": (_bombed, r"asks for posix\.system"),
    "no keypoint": (_file("clip.pkl", pickle.dumps({"a": 1})), 'no "keypoint"'),
    "pixels of another layout": (
        _file(
            "clip.pkl",
            pickle.dumps({"keypoint": _clip(2, 20, 17, 3), "img_shape": (240, 320)}),
        ),
        r"V=17 is that of coco17.*a raw clip \(M, T, 18, C\) of layout openpose18",
    ),
    "missing": (lambda folder: folder / "absent.npy", "absent.npy does not exist"),
    "folder": (lambda folder: folder, "no format recognises it"),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_a_file_that_is_no_clip_of_this_bundle_is_refused(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    write, message = CLIPS[kind]
    _refused(cli("predict", example().bundle, write(tmp_path)), WRONG_USE, message)
    assert not (tmp_path / "ran").exists()


def test_pixels_are_refused_where_the_steps_of_the_codebase_are_not_known(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    bundle = copied(example().bundle, tmp_path)
    edit_manifest(bundle, lambda m: m["contract"].update(steps=[]))
    value = {"keypoint": _clip(2, 20, 18, 3), "img_shape": (240, 320)}
    (tmp_path / "clip.pkl").write_bytes(pickle.dumps(value))
    finished = cli("predict", bundle, tmp_path / "clip.pkl")
    message = "raw, .*does not know how its codebase .st-gcn. prepares.*prepared numbers as .npy"
    _refused(finished, WRONG_USE, message)


def test_an_image_without_size_cannot_be_normalised(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    value = {"keypoint": _clip(2, 20, 17, 3), "img_shape": (0, 0)}
    (tmp_path / "clip.pkl").write_bytes(pickle.dumps(value))
    finished = cli("predict", example("pyskl").bundle, tmp_path / "clip.pkl")
    _refused(finished, WRONG_USE, "img_shape")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--topk", "0"), "topk must be at least 1"),
        (("--fit", "crop"), "'crop' is not one of"),
        (("--backend", "tensort"), "unknown backend 'tensort'"),
        (("--image-size", "1920"), "--image-size takes WIDTHxHEIGHT"),
        (("--image-size", "0x10", "--raw"), "--image-size takes WIDTHxHEIGHT"),
        (("--image-size", "320x240"), "an image size is for raw clips"),
        (("--clips", "2"), "sampled out of a raw recording.*--raw"),
    ],
)
def test_a_wrong_option_of_predict_is_refused(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    clip = _npy(_clip(2, 20, 18, 3))(tmp_path)
    _refused(cli("predict", example().bundle, clip, *arguments), WRONG_USE, message)


# ---- benchmarks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch", "4"), "fixed batch of 1.*--batch 4 or --dynamic batch"),
        (("--batch", "0"), "at least 1"),
        (("--batch", "one"), "--batch takes whole numbers"),
        (("--threads", "0"), "at least 1"),
        (("--duration", "0"), "must be positive"),
        (("--duration", "nan"), "duration"),
        (("--rounds", "0"), "must be positive"),
        (("--backend", "onnxrutime"), "did you mean 'onnxruntime'"),
        (("--csv", "taken.txt"), "taken.txt exists"),
        (("--raw", "taken.txt"), "taken.txt exists"),
    ],
)
def test_a_wrong_option_of_bench_is_refused(
    cli: Cli,
    example: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.txt").write_text("precious", encoding="utf-8")
    _refused(cli("bench", example().bundle, *arguments), WRONG_USE, message)
    assert Path("taken.txt").read_text(encoding="utf-8") == "precious"
    assert _tree(tmp_path) == ["taken.txt"]


def test_a_benchmark_needs_something_to_time(cli: Cli, tmp_path: Path) -> None:
    _refused(cli("bench"), WRONG_USE, "Missing argument|required")
    _refused(cli("bench", tmp_path / "absent"), WRONG_USE, "absent does not exist")


def test_a_benchmark_in_which_nothing_ran_has_failed(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    damaged = copied(example().bundle, tmp_path)
    (damaged / "model.onnx").write_bytes(b"garbage")
    reseal(damaged)
    _refused(cli("bench", damaged, "--duration", "0.01"), FAILED, "nothing was measured")


# ---- ONNX files ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"text", b"", b"\x08\x08"], ids=["text", "empty", "header"])
def test_a_file_that_is_no_onnx_model_is_refused(cli: Cli, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    _refused(cli("inspect", tmp_path / "m.onnx"), WRONG_USE, r"m\.onnx")


def test_a_missing_onnx_model_is_named(cli: Cli, tmp_path: Path) -> None:
    _refused(cli("inspect", tmp_path / "m.onnx"), WRONG_USE, "does not exist")


# ---- the command line itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("exprot",), "No such command 'exprot'"),
        (("export",), "nothing to export; name a CHECKPOINT, or files with --stream"),
        (("export", "-o"), "-o.*requires an argument"),
        (("export", "a.pt", "--stream", "joint=b.pt"), "--stream names the files itself"),
        (("export", "--stream", "joint"), "joint"),
        (("inspect", "a", "b"), "unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_refused_with_a_hint(
    cli: Cli, arguments: tuple[str, ...], message: str
) -> None:
    _refused(cli(*arguments), WRONG_USE, message)


def test_a_bug_leaves_with_its_trace_and_seventy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(api, "doctor", broken)
    finished = cli("doctor")
    assert finished.code == 70
    assert "Traceback" in finished.err
    assert "This is a bug" in finished.err


def test_an_interruption_is_not_a_failed_check(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "doctor", interrupted)
    finished = cli("doctor")
    assert finished.code == 130
    assert "Traceback" not in finished.err


def test_a_pipe_that_breaks_inside_is_no_success(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the reader of our own output may go away; a dead child is an error."""

    def broken() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(api, "doctor", broken)
    assert cli("doctor").code != 0


def test_a_reader_that_goes_away_is_no_bug() -> None:
    """stgcn doctor | head -1"""
    code = (
        "import sys; sys.argv = ['stgcn', 'doctor', '--json']; "
        "from stgcn_deploy.cli.main import main; main()"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, timeout=60,
            text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert "Traceback" not in done.stderr
    assert done.returncode != 70


def test_json_of_a_refusal_leaves_standard_output_alone(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    finished = cli("predict", example().bundle, tmp_path / "absent.npy", "--json")
    assert finished.code == WRONG_USE
    assert finished.out == ""
    assert finished.err.startswith("error: ")


def test_json_of_a_failed_check_is_still_json(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    damaged = copied(example().bundle, tmp_path)
    _no_golden(damaged)
    finished = cli("verify", damaged, "--json", "--seeds", "1")
    assert finished.code == FAILED
    assert json.loads(finished.out)["passed"] is False
