"""Tables and files agree both ways; what is added to one is tested here without another line."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import stgcn_deploy
from stgcn_deploy import api, registry
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.builders.registry import BUILDERS
from stgcn_deploy.checkpoints.codebases import CODEBASES
from stgcn_deploy.cli.main import COMMANDS
from stgcn_deploy.data.formats import FORMATS
from stgcn_deploy.errors import UnknownNameError
from stgcn_deploy.exporter.presets import DYNAMIC_RANGES, PRESETS
from stgcn_deploy.live.pose.registry import DETECTORS, POSES
from stgcn_deploy.live.sinks.registry import SINKS
from stgcn_deploy.live.sources.registry import SOURCES
from stgcn_deploy.measure.profilers import PROFILERS
from stgcn_deploy.measure.tolerances import TOLERANCES
from stgcn_deploy.models.families import FAMILIES
from stgcn_deploy.models.graphforms import GRAPH_FORMS
from stgcn_deploy.skeleton.layouts import LAYOUTS

PACKAGE = Path(stgcn_deploy.__file__).parent
REGISTRIES = {
    "backend": BACKENDS,
    "codebase": CODEBASES,
    "data format": FORMATS,
    "family": FAMILIES,
    "layout": LAYOUTS,
    "person detector": DETECTORS,
    "pose estimator": POSES,
    "profiler": PROFILERS,
    "sink": SINKS,
    "kind of source": SOURCES,
    "target": BUILDERS,
}
MEMBERS = [(kind, name) for kind, table in REGISTRIES.items() for name in table]
# Folder of each table, and the files in it that are no members.
FOLDERS = {
    "backend": (
        "backends",
        {
            "ascend_acl",
            "ascend_errors",
            "base",
            "built",
            "inspect_onnx",
            "openvino_probe",
            "parts",
            "registry",
            "rows",
            "side_by_side",
            "streams",
            "tap",
            "telemetry",
            "cuda",
            "tensorrt_context",
            "tensorrt_plan",
            "tensorrt_session",
        },
    ),
    "layout": ("skeleton/layouts", set()),
    # What all targets share, and the parts of each.
    "target": (
        "builders",
        {
            *("base", "registry", "target", "tool"),
            *("ascend_atc", "ascend_graph", "ascend_layers", "ascend_options", "ascend_toolkit"),
        },
    ),
    # Parts that several formats share, or that one is made of.
    "data format": (
        "data/formats",
        {"clip_writer", "folder", "jsonfile", "keypoint_lines", "mediapipe_csv", "named_labels"},
    ),
    "family": (
        "models",
        {
            "blocks",
            "branches",
            "deploy",
            "families",
            "folding",
            "graphforms",
            "msg3d_parts",
            "network",
            "persons",
            "shape",
            "spec",
            "streams",
        },
    ),
    "codebase": (
        "checkpoints",
        {
            "accounting",
            "base",
            "codebases",
            "ensemble",
            "load",
            "mmconfig",
            "mmhints",
            "pdparams",
            "pyliteral",
            "recipes",
            "record",
            "unwrap",
        },
    ),
}


def _files(folder: str, others: set[str]) -> set[str]:
    """Modules, and packages with BUILDER, FORMAT, ... in their __init__."""
    files = {p.stem for p in (PACKAGE / folder).glob("*.py")}
    packages = {p.parent.name for p in (PACKAGE / folder).glob("*/__init__.py")}
    return (files | packages) - others - {"__init__"}


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_is_in_the_table_and_every_entry_has_its_file(kind: str) -> None:
    folder, others = FOLDERS[kind]
    home = f"stgcn_deploy.{folder.replace('/', '.')}"
    modules = [place.partition(":")[0] for place in REGISTRIES[kind].table.values()]
    assert {module.rpartition(".")[0] for module in modules} == {home}
    assert {module.rpartition(".")[2] for module in modules} == _files(folder, others)


def _stem(command: str) -> str:
    """The file of "data info" is data_info.py."""
    return command.replace(" ", "_").replace("-", "_")


def test_every_command_has_its_file_and_every_file_its_command() -> None:
    assert {_stem(name) for name in COMMANDS} == _files("cli", {"main", "console", "options"})
    for name, place in COMMANDS.items():
        module, _, function = place.partition(":")
        assert module == f"stgcn_deploy.cli.{_stem(name)}"
        assert callable(getattr(import_module(module), function))


def test_no_registry_is_forgotten_here() -> None:
    """Every Registry made anywhere in the package is one of those tested."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "Registry(" in path.read_text(encoding="utf-8")
    }
    assert users == {
        "registry.py",
        "backends/registry.py",
        "builders/registry.py",
        "checkpoints/codebases.py",
        "live/metrics.py",  # prometheus_client's CollectorRegistry
        "live/pose/registry.py",
        "live/sinks/registry.py",
        "live/sources/registry.py",
        "data/formats/__init__.py",
        "measure/profilers/__init__.py",
        "models/families.py",
        "skeleton/layouts/__init__.py",
    } | {user for user in users if user == "registry.py"}


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_every_entry_can_be_had(kind: str, name: str) -> None:
    assert REGISTRIES[kind][name] is not None


@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for k, n in MEMBERS if k in ("backend", "codebase", "layout", "target")],
)
def test_members_call_themselves_as_the_table_does(kind: str, name: str) -> None:
    assert REGISTRIES[kind][name].name == name


@pytest.mark.parametrize("kind", REGISTRIES)
def test_tables_call_their_members_by_their_kind(kind: str) -> None:
    assert REGISTRIES[kind].kind == kind


@pytest.mark.parametrize("kind", REGISTRIES)
def test_aliases_lead_somewhere_and_hide_no_name(kind: str) -> None:
    table: registry.Registry[Any] = REGISTRIES[kind]
    assert set(table.aliases.values()) <= set(table)
    assert not set(table.aliases) & set(table)


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_slip_of_one_letter_finds_the_name_again(kind: str, name: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean") as caught:
        REGISTRIES[kind][f"{name}x"]
    assert f"unknown {kind} '{name}x'" in str(caught.value)
    for known in REGISTRIES[kind]:
        assert known in str(caught.value)


@pytest.mark.parametrize("name", stgcn_deploy.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(stgcn_deploy, name) is not None
    assert name in dir(stgcn_deploy)


def test_public_names_are_listed_once() -> None:
    assert len(set(stgcn_deploy.__all__)) == len(stgcn_deploy.__all__)
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        _ = stgcn_deploy.exprot


@pytest.mark.parametrize("name", stgcn_deploy.__all__)
def test_no_public_name_is_taken_by_a_module(name: str) -> None:
    """`import stgcn_deploy.inspect` would put a module in the function's place."""
    if name == "__version__":
        return
    assert not (PACKAGE / name).is_dir()
    assert not (PACKAGE / f"{name}.py").exists()


@pytest.mark.parametrize("name", api.__all__)
def test_every_verb_says_what_it_does(name: str) -> None:
    found = getattr(api, name)
    assert inspect.getdoc(found)
    assert name in stgcn_deploy.__all__


def test_every_backend_has_a_tolerance() -> None:
    assert {backend for backend, _ in TOLERANCES} == set(BACKENDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_graph_forms_of_families_are_forms_on_record(family: str) -> None:
    assert set(FAMILIES[family].graph_forms) <= set(GRAPH_FORMS)


def test_open_axes_of_presets_have_a_range() -> None:
    letters = {"batch": "N", "frames": "T", "persons": "M"}
    for preset in PRESETS.values():
        assert {letters[axis] for axis in preset.dynamic} <= set(DYNAMIC_RANGES)
