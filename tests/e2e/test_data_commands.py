"""`stgcn data info|convert|plot`, on small files and on real ones."""

from __future__ import annotations

import inspect
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished, shared_path

from stgcn_deploy.api import recordings
from stgcn_deploy.cli.data_convert import data_convert
from stgcn_deploy.cli.data_info import data_info
from stgcn_deploy.cli.data_plot import data_plot

Cli = Callable[..., Finished]
READ = {"data_labels", "layout", "axes", "image_size", "fps"}
REAL = {
    "jhmdb14.pkl": ("--layout", "jhmdb15"),
    "ucf101_sample_pyskl.pkl": ("--layout", "coco17"),
    "ntu_sample_ctvm.npy": ("--axes", "CTVM", "--layout", "ntu25"),
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    annotations = [
        {
            "frame_dir": f"clip{number}",
            "label": number,
            "keypoint": np.random.default_rng(number).uniform(1, 90, (1, 6, 17, 2)),
            "keypoint_score": np.ones((1, 6, 17)),
            "img_shape": (100, 100),
        }
        for number in range(3)
    ]
    path = tmp_path / "small.pkl"
    path.write_bytes(pickle.dumps({"split": {"val": ["clip1"]}, "annotations": annotations}))
    (tmp_path / "names.txt").write_text("walk\nrun\nsit\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("function", "command"),
    [
        (recordings.data_info, data_info),
        (recordings.data_convert, data_convert),
        (recordings.data_plot, data_plot),
    ],
)
def test_commands_have_the_names_and_defaults_of_the_functions(
    function: Callable[..., Any], command: Callable[..., Any]
) -> None:
    ours = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    theirs = {n: p.default for n, p in inspect.signature(command).parameters.items()}
    ours.pop("count", None)
    assert ours.pop("read") is None
    assert {name: theirs.pop(name) for name in READ} == dict.fromkeys(READ)
    assert theirs.pop("as_json") is False
    assert theirs == ours


def test_info_tells_and_exits_well(cli: Cli, small: Path) -> None:
    found = cli("data", "info", small, "--classes", small.parent / "names.txt")
    assert found.code == 0
    for text in ("pyskl", "coco17, human36m17", "100x100", "splits: val", "run", "0.00%"):
        assert text in found.out
    report = json.loads(cli("data", "info", small, "--layout", "coco17", "--json").out)
    assert (report["ok"], report["layout"], report["records"]) == (True, "coco17", 3)


def test_info_with_a_problem_exits_1_and_names_it(cli: Cli, small: Path) -> None:
    found = cli("data", "info", small, "--layout", "ntu25")
    assert found.code == 1
    assert found.err.count("17 joints, and layout ntu25 has 25") == 3
    assert "record 2 (clip2)" in found.err
    assert "3 NOT" in found.out


def test_info_of_what_cannot_be_opened_exits_2(cli: Cli, small: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pkl").write_bytes(small.read_bytes()[:200])
    for arguments in (("none.pkl",), (tmp_path / "broken.pkl",), (small, "--limit", "0"),
                      (small, "--fps", "0"), (small, "--image-size", "5"),
                      (small, "--format", "pyskul"), (small, "--split", "test")):  # fmt: skip
        found = cli("data", "info", *arguments)
        assert (found.code, found.out) == (2, ""), arguments
        assert found.err.startswith("error: ")


def test_convert_says_what_is_lost(cli: Cli, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    found = cli("data", "convert", small, out)
    assert found.code == 2
    assert "--fps" in found.err
    arguments = ("data", "convert", small, out, "--fps", "10", "--layout", "coco17")
    found = cli(*arguments, "--classes", tmp_path / "names.txt")
    assert found.code == 0
    assert "3 recording(s) as keypoints-jsonl" in found.out
    assert "lost, as this format cannot say it: splits (val)" in found.out
    assert cli(*arguments).code == 2
    report = json.loads(cli(*arguments, "--force", "--json").out)
    assert report["lost"] == ["splits (val)"]
    info = json.loads(cli("data", "info", out, "--json").out)
    assert (info["records"], info["layout"], info["fps"]) == (
        3, "coco17", [{"fps": 10.0, "records": 3}],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["svg", "png", "gif", "html"])
def test_plot_draws_every_kind(cli: Cli, small: Path, tmp_path: Path, kind: str) -> None:
    if kind in ("png", "gif"):
        pytest.importorskip("PIL")
    out = tmp_path / f"clip.{kind}"
    found = cli("data", "plot", small, out, "--record", "1", "--layout", "coco17")
    assert found.code == 0, found.err
    assert "record 1 (clip1), 1 x 6 x 17 x 3 of coco17" in found.out
    start = {"svg": b"<svg", "png": b"\x89PNG", "gif": b"GIF89a", "html": b"<!doctype html>"}
    assert out.read_bytes().startswith(start[kind])
    assert cli("data", "plot", small, out, "--record", "1", "--layout", "coco17").code == 2


def test_plot_asks_for_what_it_does_not_know(cli: Cli, small: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("a.svg", "--layout", "coco17"), "choose one: --record 0 to 2"),
        (("a.svg", "--record", "0"), "17 joints have coco17, human36m17"),
        (("a.svg", "--record", "0", "--layout", "ntu25"), "layout ntu25 has 25"),
        (("a.svg", "--record", "7", "--layout", "coco17"), "there is no record 7"),
        (("a.bmp", "--record", "0", "--layout", "coco17"), "is one of .svg, .png"),
        (("a.svg", "--record", "0", "--layout", "coco17", "--frames", "0"), "frames is 0"),
    ):
        name, *options = arguments
        found = cli("data", "plot", small, tmp_path / name, *options)
        assert found.code == 2
        assert message in found.err
        assert not (tmp_path / name).exists()


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_data_are_shown_and_drawn(cli: Cli, tmp_path: Path, name: str) -> None:
    path, options = shared_path("data", name), REAL[name]
    report = json.loads(cli("data", "info", path, *options, "--json").out)
    assert report["ok"]
    assert report["layout"] == options[-1]
    for kind in ("svg", "html"):
        out = tmp_path / f"clip.{kind}"
        found = cli("data", "plot", path, out, "--record", "0", *options)
        assert found.code == 0, found.err
        assert re.search(r"<(path|script)", out.read_text(encoding="utf-8"))


@pytest.mark.shared
def test_real_recordings_survive_our_stream(cli: Cli, tmp_path: Path) -> None:
    from stgcn_deploy.data.formats import open_dataset

    path, out = shared_path("data", "jhmdb14.pkl"), tmp_path / "jhmdb.jsonl"
    options = ("--layout", "jhmdb15", "--fps", "25", "--split", "test1")
    assert cli("data", "convert", path, out, *options).code == 0
    data, back = open_dataset(path), open_dataset(out)
    chosen = data.select("test1")
    assert back.labels.tolist() == data.labels[chosen].tolist()
    for index, one in zip(chosen, back, strict=True):
        # The pickle holds float64.
        np.testing.assert_array_equal(one.clip, data[int(index)].clip.astype(np.float32))
