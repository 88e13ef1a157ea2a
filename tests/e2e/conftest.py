"""What tests of builds and devices share: a machine without the vendor's tools, and one with stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.place import OLD, use_atc, without_toolkit


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No toolkit of Ascend's, whatever this machine has."""
    without_toolkit(monkeypatch, tmp_path)
    return monkeypatch


@pytest.fixture
def atc(bare: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The stand-in of atc; the returned patch sets its faults."""
    use_atc(bare, tmp_path)
    return bare


@pytest.fixture
def bundle(example: Callable[..., Any]) -> Path:
    """One that atc takes: of an open batch, at opset 11."""
    made: Path = example(**OLD, dynamic="batch").bundle
    return made
