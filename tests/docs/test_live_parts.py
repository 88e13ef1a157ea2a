"""The settings on the page are those of the classes, and a docstring that lags behind is noticed."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from docs.pages import ROOT
from pydantic import Field

from stgcn_deploy.live.checked import Checked
from stgcn_deploy.live.settings import LiveSettings, MqttSettings, WindowSettings


@pytest.fixture(scope="module")
def parts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("live_parts", ROOT / "docs" / "live_parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks itself up.
    sys.modules["live_parts"] = module
    spec.loader.exec_module(module)
    return module


def test_every_setting_has_its_row(parts: ModuleType) -> None:
    groups = {group.title: group for group in parts.groups()}
    schema = LiveSettings.model_json_schema()
    every = {name for one in schema["$defs"].values() for name in one["properties"]} - {"kind"}
    shown = {row.name for title, group in groups.items() if title for row in group.rows}
    assert shown == every
    windows = {row.name: row for row in groups["windows"].rows}
    assert list(windows) == list(WindowSettings.model_fields)
    assert windows["stride"].kind == "number above 0"
    assert windows["stride"].usual == "1"
    assert windows["mode"].kind == "`person`, `scene`"
    assert windows["fps"].meaning.endswith("left out: as the bundle says")
    assert {row.name for row in groups["cameras[]"].rows if row.usual is None} == {"name", "source"}
    assert "sinks[], kind: mqtt" in groups
    assert MqttSettings.__name__ not in groups


def test_texts_go_over_several_lines_and_for_several_fields(parts: ModuleType) -> None:
    class Some(Checked):
        """A thing.

        Attributes:
            a, b: of both; None:
                nothing.
            c: NAME.1, NAME.2, ...
        """

    both = "of both; left out: nothing"
    assert parts.meanings(Some) == {"a": both, "b": both, "c": "NAME.1, NAME.2, ..."}


class Bare(Checked):
    """A thing.

    Attributes:
        colour: what is not there.
    """

    size: int = 1


class Whole(Checked):
    """The whole."""

    bare: Bare = Field(default=Bare())


@pytest.mark.parametrize("model", [Bare, Whole])
def test_a_docstring_that_lags_behind_is_noticed(
    parts: ModuleType, monkeypatch: pytest.MonkeyPatch, model: type[Checked]
) -> None:
    monkeypatch.setattr("stgcn_deploy.live.settings.LiveSettings", model)
    with pytest.raises(SystemExit, match=r"Bare: .*\['colour', 'size'\]"):
        list(parts.groups())
