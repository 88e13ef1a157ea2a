"""What all tests share: the report's header, the material beside the repository, small exports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Tests run side by side, and tiny networks gain nothing from more threads; read when torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
REQUIRE_SHARED = "STGCN_REQUIRE_SHARED"

settings.register_profile("stgcn", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("stgcn")


def pytest_report_header() -> list[str]:
    """Versions that results depend on, and whether marked tests can run."""
    found = []
    for library in ("numpy", "torch", "onnx", "onnxruntime", "openvino"):
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"{library} absent")
    here = "present" if SHARED.is_dir() else "ABSENT: tests marked `shared` are skipped"
    return [", ".join(found), f"material beside the repository: {here}"]


def _without_shared() -> None:
    reason = f"needs the folder {SHARED.name!r} beside the repository, which is absent"
    if os.environ.get(REQUIRE_SHARED) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_SHARED}=1", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `shared` skip visibly without the folder, or fail where it is required."""
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        _without_shared()


def shared_path(*parts: str) -> Path:
    """A file of the folder beside the repository; skips or fails the test where it is absent."""
    if not SHARED.is_dir():
        _without_shared()
    return SHARED.joinpath(*parts)


@dataclass(frozen=True)
class Finished:
    """What a run of the command line left."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """Run `stgcn` with these arguments in this process."""
    from stgcn_deploy.cli.main import main

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["stgcn", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return Finished(stop.value.code if isinstance(stop.value.code, int) else 0, out, err)

    return run


@pytest.fixture(scope="session")
def tensorrt_world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles to make engines of, see tensorrt_doubles.tiny_world; read only, copy before changing."""
    from tensorrt_doubles import tiny_world

    return tiny_world(tmp_path_factory.mktemp("tensorrt"))


@dataclass(frozen=True)
class Example:
    """A tiny checkpoint and the verified bundle made of it; read only, copy before changing."""

    checkpoint: Path
    bundle: Path


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Example]:
    """Export one of checkpoints.TINY, once for each set of options."""
    import checkpoints

    from stgcn_deploy import api

    made: dict[tuple[object, ...], Example] = {}

    def export(name: str = "stgcn", **options: Any) -> Example:
        asked = {"frames": 20, "persons": 2, "graph_form": "aggregate"} | options
        key = (name, *sorted(asked.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp(name)
            checkpoint = checkpoints.save(checkpoints.tiny(name), folder / f"{name}.pt")
            api.export(checkpoint, folder / name, **asked)
            made[key] = Example(checkpoint, folder / name)
        return made[key]

    return export
