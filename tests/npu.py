"""An Ascend NPU that is not there: the stand-in for pyACL in place of the module, in a new process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy.backends import ascend_acl

FAKES = Path(__file__).parent / "fakes"

__all__ = ["FAKES", "npu", "npu_in_children"]


@pytest.fixture
def npu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in's `stand_in`; fails the test where something was misused or is left at the end."""
    monkeypatch.syspath_prepend(str(FAKES))
    import acl

    state = acl.stand_in
    state.reset()
    ascend_acl.PROCESS.__init__()  # type: ignore[misc]
    yield state
    state.fail_at = None
    try:
        ascend_acl.PROCESS.finish()
        left = state.leaks()
    finally:
        ascend_acl.PROCESS.__init__()  # type: ignore[misc]
        for name in ("acl", "acl_state", "om"):
            sys.modules.pop(name, None)
    assert state.misuse == []
    assert left == {}


@pytest.fixture
def npu_in_children(npu: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same for processes that are started, too."""
    import os

    known = os.environ.get("PYTHONPATH", "")
    source = str(Path(ascend_acl.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(FAKES), source, known])))
    return npu
