"""The command line is the Python interface: the same verbs, the same parameters, the same answers."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import copied, save, tiny

from stgcn_deploy import __version__, api, demo
from stgcn_deploy.builders.registry import BUILDERS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cli.main import COMMANDS
from stgcn_deploy.cli.options import int_list
from stgcn_deploy.errors import UsageError

Cli = Callable[..., Any]
# Commands that are a verb of the interface; the others are dialogues and the demo.
VERBS = tuple(name for name in COMMANDS if name not in ("demo", "wizard"))
# What tells the caller how far it is, and how a file is read, are objects in Python; the options of one
# target are whatever its builder takes, and on the command line those of all targets.
PYTHON_ONLY = {"progress", "count", "note", "read", "options", "base_run", "first"} | {
    *("settings", "on_event", "say", "signals", "default_events"),
}
# Numbers or ranges of them are text on a command line.
SPELLED = {("data synth", name) for name in ("noise", "missing", "occlusion")}
READ = {"data_labels", "axes", "image_size", "fps"}
# Fields of the builders' options that are not common to all targets.
TARGET_OPTIONS = {
    field.name for builder in BUILDERS.values() for field in dataclasses.fields(builder.options)
} - {"precision", "allow_fallback"}
# What a command line needs besides: how results are shown and where reports go.
CLI_ONLY = {
    "inspect": {"as_json"},
    "export": {"as_json"},
    "verify": {"as_json"},
    "quantize": {"as_json", "plot", *READ},
    "build": {"as_json", *TARGET_OPTIONS},
    "bench": {"as_json", "csv", "plot", "raw", "force"},
    "tune": {"as_json", "plot", "raw", "force"},
    "compare": {"as_json", "csv", "plot", "force", *READ},
    "predict": {"as_json"},
    "profile": {"as_json", "plot", "trace", "force"},
    "doctor": {"as_json"},
    "layouts": {"as_json"},
    "eval": {"as_json", "confusion", "save_scores", "per_class", "force", *READ},
    "ascend run": {"as_json", "labels", *READ - {"data_labels", "fps"}},
    "ascend pack": {"as_json"},
    "data bins write": {"as_json", "labels", *READ - {"data_labels", "fps"}},
    "data bins score": {"as_json"},
    "data info": {"as_json", "layout", *READ},
    "data convert": {"as_json", "layout", *READ},
    "data plot": {"as_json", "layout", *READ},
    "data synth": {"as_json"},
    "live": {"as_json", "check"},
    # What one run of it is like, in Python the fields of BenchPlan.
    "bench-live": {
        *("as_json", "plot", "raw", "force", "persons", "fps", "model_fps", "jitter_ms", "loss"),
        *("pause_every", "pause", "backend", "threads", "workers", "pose_workers", "pose"),
        *("pose_model", "ladder"),
    },
    "pose fetch": {"as_json"},
}
# Parameters that are text on a command line; their defaults mean the same.
TEXT = {("bench", "batch"), ("export", "strides"), ("eval", "topk")} | {
    ("tune", name) for name in ("batch", "threads", "instances")
}
# Options that may be given several times; none of them is None to the parser.
REPEATED = {("export", "stream"), ("eval", "backend"), ("tune", "backend"), ("compare", "backend"),
            ("live", "source")}  # fmt: skip
# Of the command itself, and of a function that does something with what the first one gives.
TWO_STEPS = {"live": ("live_settings", "live_run")}
USUAL = {("eval", "backend"): ("onnxruntime",)}
SMALL = ("--frames", "20", "--persons", "2", "--graph-form", "aggregate")


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _command(name: str) -> Callable[..., Any]:
    module, _, function = COMMANDS[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _verbs(command: str) -> tuple[str, ...]:
    """`stgcn data info` is api.data_info; eval is a word of Python's own."""
    name = "evaluate" if command == "eval" else re.sub("[ -]", "_", command)
    return TWO_STEPS.get(command, (name,))


def _of_verb(command: str) -> dict[str, inspect.Parameter]:
    """The parameters of a command's function, or of both its functions."""
    found: dict[str, inspect.Parameter] = {}
    for name in _verbs(command):
        found |= _parameters(getattr(api, name))
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_has_the_parameters_of_its_function(verb: str) -> None:
    command, function = _parameters(_command(verb)), _of_verb(verb)
    assert set(command) - set(function) == CLI_ONLY[verb]
    assert set(function) - set(command) <= PYTHON_ONLY


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_has_the_defaults_of_its_function(verb: str) -> None:
    command, function = _parameters(_command(verb)), _of_verb(verb)
    for name in set(command) & set(function):
        ours, theirs = command[name].default, function[name].default
        if (verb, name) in TEXT:
            ours = int_list(ours, name)
        if (verb, name) in REPEATED:
            ours = USUAL.get((verb, name), ()) if ours is None else tuple(ours)
        if (verb, name) in SPELLED:
            ours = float(ours)
        if isinstance(ours, Path):
            ours = str(ours)
        assert ours == theirs, name


@pytest.mark.parametrize("verb", VERBS)
def test_parameters_stand_in_the_same_order(verb: str) -> None:
    command, function = list(_parameters(_command(verb))), list(_of_verb(verb))
    both = [name for name in command if name in function]
    assert both == [name for name in function if name in command]


def test_the_demo_has_the_parameters_of_its_function() -> None:
    command, function = _parameters(_command("demo")), _parameters(demo.run_demo)
    assert set(function) - set(command) == {"say"}
    for name in set(command) & set(function) - {"output"}:
        assert command[name].default == function[name].default


def test_every_verb_of_the_interface_has_a_command() -> None:
    verbs = {name for name in api.__all__ if inspect.isfunction(getattr(api, name))}
    of_commands = {name for command in VERBS for name in _verbs(command)}
    assert verbs - {"load", "live_check"} == of_commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(cli: Cli, name: str) -> None:
    finished = cli(*name.split(), "--help")
    assert finished.code == 0
    assert finished.err == ""
    said = re.sub(r"[\s│]+", " ", finished.out)
    assert (inspect.getdoc(_command(name)) or "?").split("\n")[0][:40] in said
    for parameter in _parameters(_command(name)).values():
        hint = parameter.annotation
        assert hint is not inspect.Parameter.empty


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_page_lists_every_command(cli: Cli, option: str) -> None:
    finished = cli(option)
    assert finished.code == 0
    assert all(name.split()[0] in finished.out for name in COMMANDS)


def test_without_a_command_the_help_page_is_shown(cli: Cli) -> None:
    finished = cli()
    assert finished.code in (0, 2)
    assert "Commands" in finished.out + finished.err


def test_the_version_is_the_package_version(cli: Cli) -> None:
    finished = cli("--version")
    assert finished.code == 0
    assert __version__ in finished.out


@pytest.mark.parametrize(
    ("text", "wanted"), [(None, None), ("1", (1,)), ("1,8", (1, 8)), (" 1 , 2 ", (1, 2))]
)
def test_numbers_are_given_with_commas(text: str | None, wanted: tuple[int, ...] | None) -> None:
    assert int_list(text, "--batch") == wanted


@pytest.mark.parametrize("text", ["", "1,", "1;2", "one", "1.5"])
def test_anything_else_is_no_list_of_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="--batch takes whole numbers"):
        int_list(text, "--batch")


# ---- the whole path --------------------------------------------------------------------------


def test_a_checkpoint_becomes_answers_by_commands_alone(cli: Cli, tmp_path: Path) -> None:
    file = save(tiny("twostream-openpose"), tmp_path / "tiny.pt", "model_state_dict")
    labels = tmp_path / "labels.txt"
    labels.write_text("sit\nstand\n\nfall\nwalk\nrun\n", encoding="utf-8")
    bundle, clip = tmp_path / "out", tmp_path / "clip.npy"
    np.save(clip, np.random.default_rng(0).normal(0, 1, (1, 20, 18, 3)).astype(np.float32))

    inspected = cli("inspect", file)
    assert inspected.code == 0
    assert "openpose18" in inspected.out
    assert "model_state_dict" in inspected.out

    made = cli("export", file, "-o", bundle, "--labels", labels, *SMALL)
    assert made.code == 0, made.err
    assert "verdict: passed" in made.out
    assert sorted(path.name for path in bundle.iterdir()) == [
        "golden.npz", "labels.txt", "manifest.json", "model.onnx",
    ]  # fmt: skip

    verified = cli("verify", bundle, "--checkpoint", file, "--seeds", "1")
    assert verified.code == 0
    assert "verdict: passed" in verified.out
    assert "FAIL" not in verified.out

    predicted = cli("predict", bundle, clip, "--topk", "2", "--json")
    assert predicted.code == 0
    answer = json.loads(predicted.out)
    assert [entry["label"] for entry in answer["top"]] == [
        a.label for a in api.predict(bundle, clip, topk=2).top
    ]
    assert {entry["label"] for entry in answer["top"]} < {"sit", "stand", "fall", "walk", "run"}
    assert np.allclose(answer["scores"], api.predict(bundle, clip).scores, atol=1e-6)

    shown = cli("inspect", bundle)
    assert shown.code == 0
    assert "two" in shown.out.lower()


@pytest.mark.parametrize("verb", ["inspect", "verify", "doctor", "predict", "bench"])
def test_json_on_standard_output_is_json_and_nothing_else(
    cli: Cli, example: Callable[..., Any], tmp_path: Path, verb: str
) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((2, 20, 18, 3), np.float32))
    arguments = {
        "inspect": (example().checkpoint,),
        "verify": (example().bundle, "--seeds", "1"),
        "doctor": (),
        "predict": (example().bundle, tmp_path / "clip.npy"),
        "bench": (example().bundle, "--duration", "0.02", "--rounds", "1", "--threads", "1"),
    }[verb]
    finished = cli(verb, *arguments, "--json")
    assert finished.code == 0, finished.err
    assert isinstance(json.loads(finished.out), dict)


def test_exporting_by_command_and_by_function_gives_the_same_graph(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    options = ("--opset", "13", "--logits", "--dynamic", "batch", "--fps", "25")
    finished = cli("export", example().checkpoint, "-o", tmp_path / "cli", *SMALL, *options)
    assert finished.code == 0, finished.err
    api.export(
        example().checkpoint, tmp_path / "api", frames=20, persons=2, graph_form="aggregate",
        opset=13, logits=True, dynamic="batch", fps=25.0,
    )  # fmt: skip
    ours, theirs = Bundle(tmp_path / "cli"), Bundle(tmp_path / "api")
    assert ours.model_path.read_bytes() == theirs.model_path.read_bytes()
    dump = [bundle.manifest.model_dump() for bundle in (ours, theirs)]
    for manifest in dump:
        for field in ("name", "command"):
            del manifest[field]
    assert dump[0] == dump[1]


def test_exporting_twice_gives_the_same_bytes(example: Callable[..., Any], tmp_path: Path) -> None:
    """What is reproducible can be compared: the graph, the cases and the manifest's facts."""
    made = [
        api.export(
            example().checkpoint, tmp_path / name, frames=20, persons=2, graph_form="einsum"
        ).bundle.manifest
        for name in ("a", "b")
    ]
    assert made[0].files == made[1].files


def test_a_manifest_names_no_folder_of_the_machine_it_was_made_on(cli: Cli, tmp_path: Path) -> None:
    file = save(tiny("stgcn"), tmp_path / "tiny.pt")
    bundle = tmp_path / "out"
    assert cli("export", file, "-o", bundle, *SMALL).code == 0
    text = (bundle / "manifest.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert '"file": "tiny.pt"' in text
    command = Bundle(bundle).manifest.command
    assert command.startswith("stgcn export")


@pytest.mark.parametrize(
    ("preset", "options", "batch", "dynamic", "form"),
    [
        ("realtime", ("--graph-form", "aggregate"), 1, {"T": (50, 200)}, "aggregate"),
        ("batch", ("--graph-form", "matmul"), 8, {}, "matmul"),
        ("development", (), 1, {}, "reference"),
        ("custom", ("--graph-form", "einsum", "--batch", "2"), 2, {}, "einsum"),
    ],
)
def test_every_preset_makes_a_bundle_that_says_so(
    cli: Cli,
    example: Callable[..., Any],
    tmp_path: Path,
    preset: str,
    options: tuple[str, ...],
    batch: int,
    dynamic: dict[str, tuple[int, int]],
    form: str,
) -> None:
    size = ("--frames", "60", "--persons", "1")
    finished = cli(
        "export", example().checkpoint, "-o", tmp_path / "out", "--preset", preset, *size, *options
    )
    assert finished.code == 0, finished.err
    manifest = Bundle(tmp_path / "out").manifest
    assert (manifest.clip.batch, manifest.clip.dynamic) == (batch, dynamic)
    assert manifest.graph_form == form


@pytest.mark.slow
def test_auto_takes_the_form_that_was_quickest_here(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    finished = cli(
        "export", example().checkpoint, "-o", tmp_path / "out", "--frames", "20", "--no-verify"
    )
    assert finished.code == 0, finished.err
    manifest = Bundle(tmp_path / "out").manifest
    assert set(manifest.graph_form_ms) == {"aggregate", "einsum", "matmul"}
    assert manifest.graph_form == min(
        manifest.graph_form_ms, key=manifest.graph_form_ms.__getitem__
    )
    assert manifest.parity is None
    assert "NOT verified" in finished.out


def test_class_names_beside_the_weights_are_used(cli: Cli, tmp_path: Path) -> None:
    import torch

    names = ["one", "two", "three", "four", "five"]
    torch.save({"state_dict": tiny("pyskl"), "meta": {"CLASSES": names}}, tmp_path / "a.pth")
    assert cli("export", tmp_path / "a.pth", "-o", tmp_path / "out", *SMALL).code == 0
    assert list(Bundle(tmp_path / "out").labels) == names


def test_a_bundle_can_be_moved(cli: Cli, example: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing in it points back to where it was made; weights beside the graph come along."""
    bundle = copied(example(external_data=True).bundle, tmp_path)
    assert cli("verify", bundle, "--seeds", "1").code == 0


def test_reports_are_written_where_asked(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    table, raw = tmp_path / "t.csv", tmp_path / "r.json"
    quick = ("--duration", "0.02", "--rounds", "2", "--threads", "1")
    finished = cli("bench", example().bundle, *quick, "--csv", table, "--raw", raw)
    assert finished.code == 0, finished.err
    found = json.loads(raw.read_text(encoding="utf-8"))
    assert len(found["rows"][0]["samples_ms"]) >= 6
    assert found["rounds"] == 2
    assert table.read_text(encoding="utf-8").count("\n") >= 2
    assert cli("bench", example().bundle, *quick, "--csv", table).code == 2
    assert cli("bench", example().bundle, *quick, "--csv", table, "--force").code == 0


@pytest.mark.parametrize("kind", ["checkpoint", "bundle", "onnx", "folder"])
def test_inspect_tells_what_it_was_given(cli: Cli, example: Callable[..., Any], kind: str) -> None:
    made = example()
    path = {
        "checkpoint": made.checkpoint,
        "bundle": made.bundle,
        "onnx": made.bundle / "model.onnx",
        "folder": made.checkpoint.parent,
    }[kind]
    found = json.loads(cli("inspect", path, "--json").out)
    assert found["kind"] == {"folder": "checkpoint"}.get(kind, kind)
    assert cli("inspect", path).code == 0
    if kind == "onnx":
        assert found["inputs"] == {"input": [1, 3, 20, 18, 2]}
        assert found["opsets"] == {"ai.onnx": 18}
        assert found["parameters"] > 0


def test_progress_is_kept_off_standard_output(
    cli: Cli, example: Callable[..., Any], tmp_path: Path
) -> None:
    finished = cli("export", example().checkpoint, "-o", tmp_path / "out", *SMALL, "--json")
    assert "writing the aggregate form" in finished.err
    assert json.loads(finished.out)["verify"]["passed"] is True
