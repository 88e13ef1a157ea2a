"""What all targets share: options that belong to one of them, and bundles put together safely."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy import api
from stgcn_deploy.builders import target
from stgcn_deploy.builders.base import BuildPlan, Built, Progress
from stgcn_deploy.builders.registry import BUILDERS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.cli.build import build as command
from stgcn_deploy.errors import BuildError, MissingDependencyError, UnknownNameError, UsageError
from stgcn_deploy.manifest import AttemptRecord, BuildRecord
from stgcn_deploy.registry import Registry

COMMON = {"precision", "allow_fallback"}


@dataclass(frozen=True)
class Workspace:
    """Options of a made-up target."""

    precision: str = "fp32"
    allow_fallback: bool = False
    workspace: int = 1
    outcome: str = "file"


class Other:
    """A made-up target that writes what a test asks for."""

    name = "other"
    install = "install other"
    options = Workspace

    def available(self) -> str | None:
        return None

    def plan(self, bundle: Bundle, options: Workspace) -> BuildPlan:
        return BuildPlan(("other.plan",), (), ("write a file",), (), None)

    def build(
        self, bundle: Bundle, options: Workspace, scratch: Path, progress: Progress
    ) -> tuple[Built, ...]:
        progress("at it", None)
        names = {
            "file": ["other.plan"],
            "nothing": [],
            "twice": ["other.plan", "other.plan"],
            "graph": ["model.onnx"],
            "manifest": ["manifest.json"],
        }
        if options.outcome == "absent":
            raise MissingDependencyError("other is not here")
        if options.outcome == "elsewhere":
            return (_built(scratch / "x", "other.plan"),)
        return tuple(_built(scratch / name, name) for name in names[options.outcome])


def _built(path: Path, name: str) -> Built:
    path.write_bytes(b"built")
    record = BuildRecord(
        target="other",
        file=name,
        requested="fp32",
        actual="fp32",
        attempts=(AttemptRecord(precision="fp32", outcome="built"),),
        shapes={},
        device="cpu",
        layers={},
        tools={},
        command=("other",),
    )
    return Built(path, record)


BUILDER = Other()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two targets."""
    table = {**BUILDERS.table, "other": f"{__name__}:BUILDER"}
    registry: Registry[Any] = Registry("target", table)
    monkeypatch.setattr(target, "BUILDERS", registry)


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Path:
    made: Path = example(graph_form="matmul", opset=11).bundle
    return made


# ---- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_every_field_of_a_targets_options_has_a_default_and_an_option(name: str) -> None:
    parameters = inspect.signature(command).parameters
    options = BUILDERS[name].options
    assert {field.name for field in fields(options)} >= COMMON
    signature = inspect.signature(options).parameters
    for field in fields(options):
        assert signature[field.name].default is not inspect.Parameter.empty
        assert field.name in parameters
        if field.name not in COMMON:
            # Not given is None, so that only what was given is passed on.
            assert parameters[field.name].default is None


def test_options_of_one_target_stand_in_its_panel() -> None:
    parameters = inspect.signature(command, eval_str=True).parameters
    for name, builder in BUILDERS.items():
        for field in {field.name for field in fields(builder.options)} - COMMON:
            (option,) = (
                one for one in parameters[field].annotation.__metadata__ if hasattr(one, "help")
            )
            assert f"--to {name}" in option.rich_help_panel


def test_an_option_of_another_target_is_an_error(other: None, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'soc_version' is an option of ascend, not of other"):
        api.build(bundle, tmp_path / "out", to="other", soc_version="Ascend310P3")
    with pytest.raises(
        UsageError, match="'workspace' is an option of tensorrt and other, not of ascend"
    ):
        api.build(bundle, tmp_path / "out", to="ascend", workspace=4)
    with pytest.raises(UnknownNameError, match="no option 'worksapce'; did you mean 'workspace'"):
        api.build(bundle, tmp_path / "out", to="other", worksapce=4)


def test_an_option_of_another_target_is_an_error_on_the_command_line(
    other: None, bundle: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    finished = cli(
        "build", bundle, "-o", tmp_path / "out", "--to", "other", "--soc-version", "Ascend310P3"
    )
    assert finished.code == 2
    assert "is an option of ascend, not of other" in finished.err
    assert not (tmp_path / "out").exists()


def test_what_is_not_given_is_left_to_the_target(
    other: None, bundle: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "other")
    assert finished.code == 0, finished.err
    assert "at it" in finished.err
    assert "other.plan" in finished.out


# ---- bundles ---------------------------------------------------------------------------------


def test_files_of_two_targets_stand_in_one_bundle(
    other: None, bundle: Path, tmp_path: Path
) -> None:
    found = api.build(bundle, tmp_path / "out", to="other")
    assert found.bundle is not None
    assert (tmp_path / "out" / "other.plan").read_bytes() == b"built"
    assert found.bundle.manifest.files["other.plan"].bytes == 5
    assert found.as_dict()["builds"][0]["file"] == "other.plan"


@pytest.mark.parametrize(
    ("outcome", "kind", "message"),
    [
        ("nothing", BuildError, "built no file"),
        ("twice", BuildError, "do not fit into a bundle"),
        ("graph", BuildError, "do not fit into a bundle"),
        ("manifest", BuildError, "do not fit into a bundle"),
        ("elsewhere", BuildError, "do not fit into a bundle"),
        ("absent", MissingDependencyError, "other is not here"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_builder_that_is_wrong_writes_nothing(
    other: None,
    bundle: Path,
    tmp_path: Path,
    outcome: str,
    kind: type[Exception],
    message: str,
    force: bool,
) -> None:
    with pytest.raises(kind, match=message):
        api.build(bundle, tmp_path / "out", to="other", outcome=outcome, force=force)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_the_output_is_removed_again(
    other: None, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(BuildError):
        api.build(bundle, tmp_path / "deep" / "er" / "out", to="other", outcome="nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_builds_nothing(other: None, bundle: Path, tmp_path: Path) -> None:
    found = api.build(bundle, tmp_path / "out", to="other", outcome="absent", dry_run=True)
    assert found.bundle is None
    assert found.plan.files == ("other.plan",)
    assert list(tmp_path.iterdir()) == []
