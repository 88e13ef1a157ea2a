"""A pack: the same bytes each time, nothing of this machine, and a host that has numpy alone can use it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascendhost import FAKES, add_om, host_environment, tiny_bundle, varied_data

import stgcn_deploy
from stgcn_deploy import api
from stgcn_deploy.ascend.pack import PACKED
from stgcn_deploy.errors import OutputExistsError, UsageError

COUNT = 9
PACKAGE = Path(stgcn_deploy.__file__).parent
# Imports of anything else end the program: what a host with numpy alone would say.
GUARD = """
import builtins, sys
real, free = builtins.__import__, set(sys.stdlib_module_names) | {"numpy", "stgcn_deploy", "sitecustomize"}
def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    caller = (globals or {}).get("__name__", "")
    if level == 0 and caller.startswith("stgcn_deploy") and name.partition(".")[0] not in free:
        raise ImportError(f"no {name} on this host")
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = guarded
"""
Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    tiny_bundle(folder / "bundle", 1, 4)
    tiny_bundle(folder / "graph only")
    varied_data(folder, COUNT)
    return folder


def _unpacked(pack: Path, place: Path) -> Path:
    place.mkdir()
    with tarfile.open(pack) as file:
        file.extractall(place, filter="data")
    (folder,) = place.iterdir()
    return folder


def _host(folder: Path) -> dict[str, str]:
    """A host without this package: its modules come from the pack, and only numpy is let in."""
    environment = host_environment(folder)
    guard = folder / "guard"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    (folder / "host-bin" / "stgcn").unlink(missing_ok=True)
    return {**environment, "PYTHONPATH": f"{guard}:{FAKES}"}


def _sh(script: Path, *words: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(script), *map(str, words)],
        env=env, capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip


# ---- what is in it ---------------------------------------------------------------------------


def test_the_same_bundle_gives_the_same_bytes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    shutil.copytree(world / "bundle", tmp_path / "elsewhere" / "bundle")
    for file in (tmp_path / "elsewhere" / "bundle").iterdir():
        os.utime(file, (1, 1))
    monkeypatch.chdir(tmp_path)
    second = api.ascend_pack(tmp_path / "elsewhere" / "bundle", tmp_path / "other.tgz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "other.tgz").read_bytes()
    assert first["sha256"] == second["sha256"]
    assert first["sha256"] == hashlib.sha256((tmp_path / "a.tar.gz").read_bytes()).hexdigest()
    assert first["bytes"] == (tmp_path / "a.tar.gz").stat().st_size


def test_it_holds_the_om_files_the_scripts_and_nothing_else(world: Path, tmp_path: Path) -> None:
    made = api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as file:
        members = file.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {name.partition("/")[0] for name in names} == {"bundle-ascend"} == {made["folder"]}
    inside = {name.partition("/")[2] for name in names}
    assert inside == set(made["files"]) == {
        "README.txt", "SHA256SUMS", "pack.json", "run.sh", "bundle/manifest.json",
        "bundle/labels.txt", "bundle/model_b1_fp16.om", "bundle/model_b4_fp16.om",
        *(f"host/stgcn_deploy/{name}" for name in PACKED),
    }  # fmt: skip
    for member in members:
        assert member.isfile()
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (
            0,
            0,
            0,
            "",
            "",
        )
        assert not member.name.startswith("/")
        assert ".." not in member.name.split("/")
        assert member.mode == (0o755 if member.name.endswith(".sh") else 0o644)


def test_its_sums_are_of_all_its_files(world: Path, tmp_path: Path) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    assert set(told) == set(files) - {"SHA256SUMS"}
    for name, digest in told.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest


def test_it_names_no_folder_of_this_machine(world: Path, tmp_path: Path) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    for name in ("run.sh", "README.txt", "pack.json", "bundle/manifest.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert str(world) not in text
        assert str(PACKAGE) not in text


def test_what_lies_in_the_bundle_beside_its_files_is_left_out(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "bundle", tmp_path / "bundle")
    (tmp_path / "bundle" / "notes.txt").write_text("mine", encoding="utf-8")
    made = api.ascend_pack(tmp_path / "bundle", tmp_path / "a.tar.gz")
    assert "bundle/notes.txt" not in made["files"]


def test_a_file_that_is_there_is_not_replaced_unasked(world: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == b"mine"
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz", force=True)
    assert tarfile.is_tarfile(tmp_path / "a.tar.gz")
    with pytest.raises(UsageError, match=r"a pack is a \.tar\.gz"):
        api.ascend_pack(world / "bundle", tmp_path / "a.zip")


def test_a_link_in_the_bundle_is_not_followed(world: Path, tmp_path: Path) -> None:
    from stgcn_deploy.errors import BundleError

    shutil.copytree(world / "bundle", tmp_path / "bundle")
    shutil.move(tmp_path / "bundle" / "model_b1_fp16.om", tmp_path / "outside.om")
    (tmp_path / "bundle" / "model_b1_fp16.om").symlink_to(tmp_path / "outside.om")
    with pytest.raises(BundleError, match="is a link"):
        api.ascend_pack(tmp_path / "bundle", tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
    assert not list(tmp_path.glob(".a.tar.gz*"))


def _imported(file: Path) -> set[str]:
    """Modules of this package that a file imports, as paths in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stgcn_deploy."):
            found.add(str(node.module).partition(".")[2].replace(".", "/"))
    return {
        f"{name}.py" if (PACKAGE / f"{name}.py").is_file() else f"{name}/__init__.py"
        for name in found
    }


def test_the_modules_in_it_are_those_that_its_program_imports() -> None:
    waiting, seen = ["ascend/host.py"], {"__init__.py"}
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _imported(PACKAGE / name)
            package = Path(name).parent / "__init__.py"
            waiting.append(package.as_posix())
    assert seen == set(PACKED)


# ---- what it does ----------------------------------------------------------------------------


def test_a_host_with_numpy_alone_writes_runs_and_scores(world: Path, tmp_path: Path) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    env = _host(tmp_path)
    done = _sh(folder / "run.sh", tmp_path / "work", world / "val_data.npy", env=env)
    assert done.returncode == 0, done.stderr
    norm = api.evaluate([world / "bundle"], world / "val_data.npy").rows[0].accuracy
    said = re.findall(r"Top 1: (\S+)\nTop 5: (\S+)", done.stdout)
    assert said == [(f"{norm.top1:.2%}", f"{norm.top5:.2%}")] * 2
    assert [int(n) for n in re.findall(r"clips/s, batch (\d+)", done.stdout)] == [1, 4]
    # Started again it goes on: a tool that fails is not needed.
    env["FAKE_ASCEND_FAULT"] = "exit:1"
    again = _sh(folder / "run.sh", tmp_path / "work", env=env)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"Top 1: (\S+)\nTop 5: (\S+)", again.stdout) == said
    # And its results are scored at home.
    results = tmp_path / "work" / "model_b4_fp16_ais_bench" / "results"
    home = api.data_bins_score(results, tmp_path / "work" / "bins", bundle=world / "bundle")
    assert np.array_equal(home.confusion, norm.confusion)


def test_the_guard_of_these_tests_guards(world: Path, tmp_path: Path) -> None:
    env = _host(tmp_path)
    env["PYTHONPATH"] += f":{PACKAGE.parent}"
    code = "import stgcn_deploy.manifest"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert "no pydantic on this host" in done.stderr


def test_samples_may_come_from_elsewhere(world: Path, tmp_path: Path) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz", tool="msame")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    work = tmp_path / "work"
    api.data_bins_write(world / "val_data.npy", work / "bins", bundle=world / "bundle")
    done = _sh(folder / "run.sh", work, env=_host(tmp_path))
    assert done.returncode == 0, done.stderr
    norm = api.evaluate([world / "bundle"], world / "val_data.npy").rows[0].accuracy
    assert f"Top 1: {norm.top1:.2%}\nTop 5: {norm.top5:.2%}" in done.stdout
    assert done.stdout.count("Top 1") == 1  # msame runs batch 1 alone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected: sh run.sh WORK"),
        (("work",), "holds no samples"),
        (("work", "absent.npy"), "error: "),
        (("work", "short.npy"), "has shape"),
        (("work", "nan.npy"), "record 4: not all values are finite"),
        (("work", "val_data.npy", "few.npy"), "has 3 label"),
    ],
)
def test_what_is_wrong_is_said_on_the_host_too(
    world: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    data = np.load(world / "val_data.npy")
    np.save(tmp_path / "val_data.npy", data)
    np.save(tmp_path / "short.npy", data[:, :, :-1])
    data[4, 0, 0, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", data)
    np.save(tmp_path / "few.npy", np.zeros(3, np.int64))
    for stem in ("short", "nan"):
        shutil.copy(world / "val_label.npy", tmp_path / f"{stem}_label.npy")
    done = _sh(folder / "run.sh", *(tmp_path / word for word in words), env=_host(tmp_path))
    assert done.returncode != 0
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing:3", "wrote 8 results of 9"),
        ("truncated:3", "3_0.bin has 16 bytes"),
        ("duplicated:3", "wrote 10 results of 9"),
        ("silent", "wrote no results"),
        ("exit:1", "ais_bench failed"),
    ],
)
def test_faults_of_the_tool_are_named_on_the_host(
    world: Path, tmp_path: Path, fault: str, message: str
) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    env = _host(tmp_path) | {"FAKE_ASCEND_FAULT": fault}
    done = _sh(folder / "run.sh", tmp_path / "work", world / "val_data.npy", env=env)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Top 1" not in done.stdout


def test_a_pack_that_was_changed_does_not_run(world: Path, tmp_path: Path) -> None:
    api.ascend_pack(world / "bundle", tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    with (folder / "bundle" / "model_b4_fp16.om").open("ab") as file:
        file.write(b"x")
    done = _sh(folder / "run.sh", tmp_path / "work", world / "val_data.npy", env=_host(tmp_path))
    assert done.returncode == 1
    assert "not the pack that was written" in done.stderr


# ---- without an OM ---------------------------------------------------------------------------

# Takes these words and no others, and leaves what atc leaves.
ATC = """#!{python}
import json, re, sys
from pathlib import Path
sys.path[:0] = [{fakes!r}]
import onnx
from om import write_om
said = dict(word.split("=", 1) for word in sys.argv[1:])
assert set(said) == {{"--model", "--framework", "--output", "--input_format", "--input_shape",
                     "--soc_version", "--precision_mode", "--log"}}, said
assert (said["--framework"], said["--input_format"], said["--precision_mode"]) == ("5", "ND", "force_fp16")
if not re.fullmatch("Ascend[0-9]{{3}}[A-Z0-9]*", said["--soc_version"]):
    sys.exit("ATC run failed")
Path("kernel_meta").mkdir()
Path("fusion_result.json").write_text("[]")
pairs = [pair.split(":") for pair in said["--input_shape"].split(";")]
shapes = {{name: [int(size) for size in sizes.split(",")] for name, sizes in pairs}}
model = onnx.load(said["--model"])
for value in model.graph.input:
    for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
        dim.dim_value = size
meta = dict(soc_version=said["--soc_version"], batch=1, precision_mode="force_fp16", inputs=shapes,
            outputs={{}})
write_om(Path(said["--output"] + ".om"), model.SerializeToString(), meta)
"""


def test_a_graph_is_built_where_atc_is(world: Path, tmp_path: Path) -> None:
    made = api.ascend_pack(world / "graph only", tmp_path / "a.tar.gz")
    assert made["folder"] == "graph-only-ascend"
    assert "bundle/model.onnx" in made["files"]
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    env = _host(tmp_path)
    unsaid = _sh(folder / "run.sh", tmp_path / "work", world / "val_data.npy", env=env)
    assert unsaid.returncode == 1
    assert "SOC_VERSION=Ascend310P3" in unsaid.stderr
    env["SOC_VERSION"] = "Ascend310P3"
    without = _sh(folder / "run.sh", tmp_path / "work", env=env)
    assert without.returncode == 1
    assert "atc failed" in without.stderr
    atc = tmp_path / "host-bin" / "atc"
    atc.write_text(ATC.format(python=sys.executable, fakes=str(FAKES)), encoding="utf-8")
    atc.chmod(0o755)
    done = _sh(folder / "run.sh", tmp_path / "work", env=env)
    assert done.returncode == 0, done.stderr
    norm = api.evaluate([world / "graph only"], world / "val_data.npy").rows[0].accuracy
    assert f"Top 1: {norm.top1:.2%}\nTop 5: {norm.top5:.2%}" in done.stdout
    assert sorted(path.name for path in (tmp_path / "work" / "om").iterdir()) == [
        "model_b1_fp16.om"
    ]
    assert not list((tmp_path / "work").glob("om.attempt*"))


def test_a_form_that_atc_does_not_take_is_refused(
    tmp_path: Path, example: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match=r"Einsum ATC does not know.*--graph-form matmul"):
        api.ascend_pack(example(graph_form="einsum").bundle, tmp_path / "a.tar.gz")


def test_msame_needs_an_om_of_batch_one(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "graph only", tmp_path / "bundle")
    add_om(tmp_path / "bundle", 4)
    with pytest.raises(UsageError, match="cannot fill a batch of 4"):
        api.ascend_pack(tmp_path / "bundle", tmp_path / "a.tar.gz", tool="msame")


def test_the_command_says_what_to_type_there(world: Path, tmp_path: Path, cli: Cli) -> None:
    finished = cli("ascend", "pack", world / "bundle", "-o", tmp_path / "a.tar.gz")
    assert finished.code == 0, finished.err
    assert "tar -xzf a.tar.gz && cd bundle-ascend && sha256sum -c SHA256SUMS" in finished.out
    told = cli("ascend", "pack", world / "bundle", "-o", tmp_path / "b.tar.gz", "--json")
    assert json.loads(told.out)["folder"] == "bundle-ascend"


@pytest.mark.parametrize("name", ["bundle", "graph only"])
def test_shellcheck_has_nothing_to_say(world: Path, tmp_path: Path, name: str) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed here")
    api.ascend_pack(world / name, tmp_path / "a.tar.gz")
    folder = _unpacked(tmp_path / "a.tar.gz", tmp_path / "there")
    done = subprocess.run(
        [checker, "--shell=sh", str(folder / "run.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
