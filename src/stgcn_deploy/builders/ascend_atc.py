"""atc's command line, and what its log says when it fails."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.builders.ascend_options import MODES
from stgcn_deploy.builders.ascend_toolkit import ATC, INSTALL, environment_is_set, source_line
from stgcn_deploy.builders.tool import ToolRun
from stgcn_deploy.errors import BuildError, MissingDependencyError, StgcnError, UsageError

__all__ = ["AtcFailure", "Refusal", "convert_argv", "failure_of", "list_argv", "read_log"]

ONNX = "5"
TO_JSON = "1"
# [PID: 10490] 2025-03-18-09:02:18.501.341, as newer versions put before their messages
STAMP = r"(?:\[PID: \d+\]\s*)?(?:\d{4}-\d\d-\d\d-[\d:.]+\s*)?"
ERROR = re.compile(rf"(?m)^\s*(E[A-Z]?\d{{4,5}}):\s*{STAMP}(.+?)\s*$")
SOLUTION = re.compile(r"(?m)^\s*(?:Possible Cause|Solution):\s*(.+?)\s*$")
# Node and operator in the ways in which the parser and the engines refuse one; atc stops at the first
# stage that does, and that stage lists all of them.
REFUSED = (
    re.compile(
        r"No parser is registered for Op \[(?P<node>[^\],]*),? *optype \[(?P<type>[^\]]+)\]"
    ),
    re.compile(r"IR for Op \[(?P<node>[^\],]*),? *optype \[(?P<type>[^\]]+)\]"),
    re.compile(
        r"No supported Ops kernel and engine are found for \[(?P<node>[^\]]*)\], *"
        r"optype \[(?P<type>[^\]]+)\]"
    ),
    re.compile(r"No ONNX parser is registered for optype \[(?P<node>)(?P<type>[^\]]+)\]"),
    re.compile(r"Optype \[(?P<node>)(?P<type>[^\]]+)\] of Ops kernel \[[^\]]*\] is unsupported"),
)
# Codes with which an engine, not the parser, refuses: it may take the operator in another precision.
ENGINES = ("EZ3002", "EZ3003")
# ai.onnx::11::Einsum
TYPE = re.compile(r"^ai\.onnx::(?P<opset>\d+)::(?P<name>\w+)$")
REASON = re.compile(r"is unsupported\. Reason: (.+?)\s*$", re.MULTILINE)
VALUE = re.compile(r"[Vv]alue \[(?P<value>[^\]]*)\] for (?:parameter )?\[(?:--)?(?P<name>[^\]]+)\]")
LIBRARY = re.compile(r"error while loading shared libraries: (\S+):")
# The surer one first: the other may hold the exception's name.
MODULES = (
    re.compile(r"No module named '([\w.]+)'"),
    re.compile(r"Failed to import (?:Python module \[?)?([\w.]+\w)"),
)


@dataclass(frozen=True)
class Refusal:
    """One operator that atc does not take; `node` is empty and `opset` None where it does not say."""

    operator: str
    node: str
    opset: int | None

    def __str__(self) -> str:
        text = self.operator + (f" of opset {self.opset}" if self.opset else "")
        return f"{text} (node {self.node})" if self.node else text


@dataclass(frozen=True)
class AtcFailure:
    """What a log says went wrong.

    Attributes:
        code: atc's first error code; "" where it gives none.
        message: its text; solution: what atc advises, often nothing.
        refused: operators that it does not take.
        reason: why an engine refuses them, where it says.
    """

    code: str
    message: str
    solution: str
    refused: tuple[Refusal, ...]
    reason: str

    @property
    def by_engine(self) -> bool:
        """Whether the chip has no such layer in this precision, as opposed to none at all."""
        return bool(self.refused) and self.code in ENGINES


def convert_argv(
    model: Path, output: Path, soc_version: str, precision: str, shapes: Mapping[str, Sequence[int]]
) -> tuple[str, ...]:
    """ONNX to OM; `output` without the .om that atc appends.

    Shapes are said for every input: atc guesses none, and none may stay open.
    """
    shape = ";".join(f"{name}:{','.join(map(str, sizes))}" for name, sizes in shapes.items())
    return (
        ATC,
        f"--model={model}",
        f"--framework={ONNX}",
        f"--output={output}",
        "--input_format=ND",
        f"--input_shape={shape}",
        f"--soc_version={soc_version}",
        f"--precision_mode={MODES[precision]}",
        "--log=error",
    )


def list_argv(model: Path, output: Path) -> tuple[str, ...]:
    """OM to a list of its layers, as JSON."""
    return (ATC, f"--mode={TO_JSON}", f"--om={model}", f"--json={output}")


def read_log(log: str) -> AtcFailure:
    """What went wrong, out of all that atc wrote."""
    error = ERROR.search(log)
    refused: dict[Refusal, None] = {}
    for pattern in REFUSED:
        for match in pattern.finditer(log):
            refused[_refusal(match["type"], match["node"])] = None
    named = {one.operator for one in refused if one.node}
    solution, reason = SOLUTION.search(log), REASON.search(log)
    return AtcFailure(
        code=error[1] if error else "",
        message=error[2] if error else "",
        solution=solution[1] if solution else "",
        refused=tuple(one for one in refused if one.node or one.operator not in named),
        reason=reason[1] if reason else "",
    )


def _refusal(kind: str, node: str) -> Refusal:
    typed = TYPE.match(kind)
    if typed is None:
        return Refusal(kind, node, None)
    return Refusal(typed["name"], node, int(typed["opset"]))


def failure_of(run: ToolRun, precision: str, soc_version: str) -> StgcnError:
    """The error to raise for a run that failed: what atc said, and what to do."""
    log = run.log
    missing = _missing(log)
    if missing is not None:
        return MissingDependencyError(missing)
    found = read_log(log)
    if found.refused:
        return BuildError(_refused(found, precision, soc_version))
    value = VALUE.search(found.message)
    if value is not None and value["name"] == "soc_version":
        return UsageError(
            f"this toolkit does not know the SoC version {value['value']!r} ({found.code}); it is "
            '"Ascend" and the Name column of `npu-smi info`. Newer chips need a newer toolkit, and '
            "each family of chips its own package of kernels."
        )
    if not environment_is_set():
        line = source_line() or "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
        return MissingDependencyError(
            f"{ATC} failed, and the environment of its toolkit is not set; run: {line}\n{run.tail()}"
        )
    what = f"{found.code}: {found.message}" if found.code else f"exit code {run.code}"
    advice = f" {ATC} advises: {found.solution}" if found.solution else ""
    return BuildError(f"{ATC} failed: {what}{advice}\nThe end of its log:\n{run.tail()}")


def _missing(log: str) -> str | None:
    """What the toolkit itself lacks, with the line that helps."""
    library = LIBRARY.search(log)
    if library is not None:
        line = source_line() or "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
        home = os.environ.get("ASCEND_TOOLKIT_HOME", "$ASCEND_TOOLKIT_HOME")
        return (
            f"{ATC} does not start: it finds no {library[1]}. Run: {line} ; and on a machine without the "
            f"NPU's driver also: export LD_LIBRARY_PATH={home}/$(uname -m)-linux/devlib:$LD_LIBRARY_PATH"
        )
    found = (pattern.search(log) for pattern in MODULES)
    module = next(filter(None, found), None)
    if module is not None:
        name = module[1]
        return (
            f"{ATC} runs Python of its own, which lacks the module {name}; install it for the "
            f"interpreter that {ATC} finds first on PATH: pip3 install {name} (others it needs: numpy "
            "decorator sympy cffi attrs psutil protobuf scipy)."
        )
    if "command not found" in log or "No such file or directory: 'atc.bin'" in log:
        return f"{ATC} is broken: it finds no atc.bin; {INSTALL}"
    return None


def _refused(found: AtcFailure, precision: str, soc_version: str) -> str:
    """Which operators, and what to do about these."""
    listed = ", ".join(map(str, found.refused[:5]))
    if len(found.refused) > 5:
        listed += f" and {len(found.refused) - 5} more"
    why = f" It says: {found.reason}" if found.reason else ""
    text = f"{ATC} does not take {listed} for {soc_version} ({found.code or 'no code'}).{why}"
    names = {one.operator for one in found.refused}
    if "Einsum" in names:
        return f"{text} Export without it: stgcn export CHECKPOINT -o DIR --graph-form matmul --opset 11"
    if precision == "origin" and found.by_engine:
        return (
            f"{text} Chips such as Ascend310P compute convolutions and products in FP16 only; take "
            "--precision mixed or fp16, or let it fall back with --allow-fallback."
        )
    if any(one.opset is not None and one.opset > 11 for one in found.refused):
        return (
            f"{text} It may be too new for this toolkit; export with: stgcn export CHECKPOINT -o DIR "
            "--graph-form matmul --opset 11"
        )
    return (
        f"{text} Try the other graph forms (stgcn export CHECKPOINT -o DIR --graph-form aggregate or "
        "matmul, --opset 11), check that the toolkit has the kernels of this chip, or take a newer one."
    )
