"""2,000 samples of Kinetics' shape (3, 300, 18, 2), in the memory of a few, killed and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ascendhost import add_om, host_environment
from checkpoints import save, stgcn

from stgcn_deploy import api

COUNT, BATCH = 2000, 8
SAMPLE_BYTES = 4 * 3 * 300 * 18 * 2
# What a run on all samples may take beyond one on 40 of them; all of them are 247 MiB.
FLAT_MIB = 32
# Runs a command and tells the largest resident size of it and of what it started.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
sys.stdout.buffer.write(done.stdout)
sys.stderr.write(f"PEAK {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\\n")
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Half a gigabyte, that does not stay."""
    folder = tmp_path_factory.mktemp("large")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def env(place: Path) -> dict[str, str]:
    return host_environment(place, XDG_CACHE_HOME=str(place / "cache"))


@pytest.fixture(scope="module")
def bundle(place: Path, env: dict[str, str]) -> Path:
    """A slim network of Kinetics' input, its OM, and the data."""
    state = stgcn(widths=(4, 4, 8))
    # Random weights tell motions of this size apart only if they are made larger.
    state["data_bn.weight"] *= 40
    checkpoint = save(state, place / "net.pt")
    api.export(
        checkpoint, place / "bundle", frames=300, persons=2, graph_form="matmul", opset=11,
        dynamic="batch", logits=True,
    )  # fmt: skip
    add_om(place / "bundle", BATCH)
    subprocess.run(
        ["stgcn", "data", "synth", "-o", place / "val_data.npy", "--layout", "openpose18", "--clips",
         str(COUNT), "--frames", "300", "--persons", "2", "--actions", "stand,walk,fall,wave,punch",
         "--unique", "200"],
        env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert (place / "val_data.npy").stat().st_size > COUNT * SAMPLE_BYTES
    return place / "bundle"


def _command(bundle: Path, work: Path, *more: str) -> list[str]:
    data = bundle.with_name("val_data.npy")
    words = ["stgcn", "ascend", "run", bundle, "--data", data, "--work", work, "--json", *more]
    return [str(word) for word in words]


def _measured(command: list[str], env: dict[str, str]) -> tuple[dict[str, Any], float]:
    """What the command printed, and its peak in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    peak = float(done.stderr.rpartition("PEAK ")[2]) / 1024
    return json.loads(done.stdout), peak


@pytest.mark.slow
def test_the_set_is_never_in_memory(place: Path, bundle: Path, env: dict[str, str]) -> None:
    few, small = _measured(_command(bundle, place / "few", "--limit", "40"), env)
    shutil.rmtree(place / "few")
    told, large = _measured(_command(bundle, place / "work"), env)
    assert (few["count"], told["count"]) == (40, COUNT)
    assert large - small < FLAT_MIB, f"{small:.0f} MiB for 40 samples, {large:.0f} for {COUNT}"
    assert FLAT_MIB < COUNT * SAMPLE_BYTES / 2**20 / 4
    norm = api.evaluate([bundle], place / "val_data.npy").rows[0].accuracy
    assert 0 < norm.top1 < 1
    assert (norm.confusion.sum(axis=0) > COUNT / 10).sum() >= 2
    assert told["accuracy"]["confusion"] == norm.confusion.tolist()
    assert (told["accuracy"]["top1"], told["accuracy"]["top5"]) == (norm.top1, norm.top5)
    assert told["timing"]["npu"]["count"] == COUNT / BATCH


def _killed(command: list[str], env: dict[str, str], when: Callable[[], bool]) -> None:
    """Start it, and kill it once that is so."""
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 300
        while not when():
            assert time.monotonic() < until
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)


def _files(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


@pytest.mark.slow
def test_a_run_that_is_killed_twice_ends_as_one_that_was_not(
    place: Path, bundle: Path, env: dict[str, str]
) -> None:
    work = place / "killed"
    command = _command(bundle, work)
    samples = work / "bins" / "val_data"
    _killed(command, env, lambda: _files(samples, "*.bin") >= 500)
    written = {path: path.stat().st_mtime_ns for path in samples.glob("*.bin")}
    assert 500 <= len(written) < COUNT
    slow = {**env, "FAKE_ASCEND_FAULT": "slow:20"}
    _killed(command, slow, lambda: _files(work, "*.attempt*/results/*_0.bin") >= 300)
    # Samples of the first start were not written again, but perhaps the one that was cut.
    kept = [path for path, when in written.items() if path.stat().st_mtime_ns == when]
    assert len(kept) >= len(written) - 1
    assert not (work / f"model_b{BATCH}_fp16_ais_bench").exists()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    norm = api.evaluate([bundle], place / "val_data.npy").rows[0].accuracy
    assert told["accuracy"]["confusion"] == norm.confusion.tolist()
    assert _files(samples, "*.bin") == COUNT
    assert not list(work.glob("*.attempt*"))


@pytest.mark.slow
def test_each_wrong_result_of_so_many_is_named(
    place: Path, bundle: Path, env: dict[str, str]
) -> None:
    work = place / "killed" if (place / "killed").is_dir() else place / "work"
    command = _command(bundle, work)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    results = work / f"model_b{BATCH}_fp16_ais_bench" / "results"
    file = results / "1234_0.bin"
    content = file.read_bytes()
    spoils: dict[str, tuple[Callable[[], object], str]] = {
        "missing": (file.unlink, "1 of 2000 results are missing, first 1234_0.bin"),
        "truncated": (lambda: file.write_bytes(content[:-4]), "1234_0.bin has 16 bytes"),
        "duplicated": (lambda: (results / "01234_0.bin").write_bytes(content), "1234 twice"),
        "stray": (lambda: (results / "2000_0.bin").write_bytes(content), "record 2000, and there"),
    }
    for spoil, message in spoils.values():
        before = {path.name for path in results.iterdir()}
        spoil()
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stdout == ""
        for path in results.iterdir():
            if path.name not in before:
                path.unlink()
        file.write_bytes(content)
    scores = np.frombuffer(content, "<f4")
    assert np.isfinite(scores).all()
    assert subprocess.run(
        command, env={**os.environ, **env}, check=False, stdout=subprocess.DEVNULL
    ).returncode == 0  # fmt: skip
