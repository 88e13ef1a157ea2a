"""A vendor's tool is run as it is told, watched, and gone afterwards with all that it started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes.place import gone

from stgcn_deploy.builders.tool import MAX_LOG, ToolRun, public_argv, run_tool
from stgcn_deploy.errors import BuildError, MissingDependencyError

# Starts a child, writes its id, and waits.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child", "w").write(str(child.pid))
print("at it", flush=True)
time.sleep({seconds})
"""


def _python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_both_outputs_the_code_and_the_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(os.getcwd(), flush=True); print('bad', file=sys.stderr); sys.exit(7)"
    )
    run = run_tool(_python(code), tmp_path, 30)
    assert run.code == 7
    assert run.log.splitlines() == [str(tmp_path.resolve()), "bad"]
    assert 0 < run.seconds < 30


def test_words_reach_the_tool_as_they_are(tmp_path: Path) -> None:
    words = ("a b", "$HOME", ";", "--x=1;y:2", "*")
    run = run_tool((*_python("import sys; print(sys.argv[1:])"), *words), tmp_path, 30)
    assert run.log.strip() == str(list(words))


def test_there_is_no_input_to_wait_for(tmp_path: Path) -> None:
    assert run_tool(_python("print(repr(input()))"), tmp_path, 30).code == 1


def test_a_tool_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"stopped after 2 s; .*--timeout") as caught:
        run_tool(_python(PARENT.format(seconds=60)), tmp_path, 2)
    assert "at it" in str(caught.value)
    assert gone(int((tmp_path / "child").read_text(encoding="utf-8")))


def test_children_do_not_outlive_a_tool_that_ends(tmp_path: Path) -> None:
    assert run_tool(_python(PARENT.format(seconds=0)), tmp_path, 30).code == 0
    assert gone(int((tmp_path / "child").read_text(encoding="utf-8")))


def test_an_interrupt_ends_the_tool(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        if (tmp_path / "child").exists() and (tmp_path / "child").read_text(encoding="utf-8"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool(_python(PARENT.format(seconds=60)), tmp_path, 30, stop)
    assert gone(int((tmp_path / "child").read_text(encoding="utf-8")))


def test_time_is_told_while_it_runs(tmp_path: Path) -> None:
    seen: list[float] = []
    run_tool(_python("import time; time.sleep(0.6)"), tmp_path, 30, seen.append)
    assert len(seen) >= 2
    assert seen == sorted(seen)


def test_a_tool_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="no-such-tool cannot be started"):
        run_tool(("no-such-tool",), tmp_path, 1)


def test_of_a_long_log_the_end_is_kept(tmp_path: Path) -> None:
    run = run_tool(_python(f"print('x' * {2 * MAX_LOG}); print('end')"), tmp_path, 30)
    assert len(run.log) == MAX_LOG
    assert run.log.endswith("end\n")


def test_the_tail_of_a_log_has_no_empty_lines() -> None:
    assert ToolRun(0, "a\n\n  b \n\n", 0).tail() == "    a\n      b"
    assert ToolRun(0, "1\n2\n3\n", 0).tail(2) == "    2\n    3"
    assert ToolRun(0, "\n", 0).tail() == "    (it wrote nothing)"


def test_bytes_that_are_no_text_are_shown_all_the_same(tmp_path: Path) -> None:
    run = run_tool(_python("import sys; sys.stdout.buffer.write(b'a\\xff')"), tmp_path, 30)
    assert run.log == "a�"


def test_folders_do_not_reach_the_manifest() -> None:
    argv = ("/usr/bin/tool", "--model=/a/b.onnx", "--shape=x:1,2", "/c/d.om", "plain")
    assert public_argv(argv) == ("tool", "--model=b.onnx", "--shape=x:1,2", "d.om", "plain")
