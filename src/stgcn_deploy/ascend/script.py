"""The steps of a run as a shell script that can be read, changed and carried to the NPU host.

POSIX sh; what is the user's stands in single quotes at the top, everything below uses variables.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy import __version__
from stgcn_deploy.ascend.om import OmFile
from stgcn_deploy.ascend.run import IDENTITY, Stage
from stgcn_deploy.ascend.tools import LOG, RESULTS, TOOLKIT, Job, Tool
from stgcn_deploy.data.bins import LABEL, RECORD
from stgcn_deploy.errors import UsageError

__all__ = ["FAIL", "RunScript", "one_line", "stage_lines"]

# Words that need no quotes once variables of ours are in them.
PLAIN = re.compile(r"[A-Za-z0-9_./,=:-]*(?:\$[A-Z]+[A-Za-z0-9_./,=:-]*)*")
FAIL = """\
fail() {
    printf 'error: %s\\n' "$1" >&2
    exit 1
}"""


def one_line(text: object) -> str:
    """Text of others in a comment: nothing that ends the line."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def _word(text: str) -> str:
    """A word of a command; "$BUNDLE/model.om" keeps its variable, all else is quoted."""
    if "$" in text and PLAIN.fullmatch(text):
        return f'"{text}"'
    return shlex.quote(text)


def _wrapped(words: Iterable[str], indent: str) -> str:
    """A command, options on lines of their own."""
    lines: list[str] = []
    for word in words:
        if lines and not word.startswith("-"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return f" \\\n{indent}    ".join(lines)


def stage_lines(om: OmFile, tool: Tool, inputs: Iterable[str], place: str, device: str) -> str:
    """A run of `tool` on $WORK/bins into $WORK, as perform does it: beside, checked, renamed.

    Args:
        inputs: names of the folders in $WORK/bins.
        place: the OM's place, beginning with a variable.
        device: number of the NPU, or a variable with it.
    """
    folders = tuple(Path(f"$WORK/bins/{name}") for name in inputs)
    job = Job(Path(place), folders, om.batch)
    tool.check(job)
    arguments = list(tool.arguments(job, "$RUN.attempt"))
    arguments[arguments.index("--device") + 1] = device
    identity = shlex.quote(json.dumps(Stage(Path(), om, tool, job, None).identity))
    program = '"$PYTHON" -m ais_bench' if tool.name == "ais_bench" else '"$MSAME"'
    words = (program, *map(_word, arguments))
    # msame calls its folder by the time.
    named = (
        f'\n    mv "$RUN.attempt"/[0-9]*_[0-9]* "$RUN.attempt/{RESULTS}" ||\n'
        f'        fail "{tool.name} made no folder of results; its log is $RUN.log"'
        if tool.name == "msame"
        else ""
    )
    return f"""\
RUN="$WORK/{om.name}_{tool.name}"
IDENTITY={identity}
if [ -d "$RUN" ]; then
    [ "$(cat "$RUN/{IDENTITY}")" = "$IDENTITY" ] ||
        fail "$RUN holds results of another OM; remove it, or name another WORK"
    cmp -s "$RUN/{RECORD}" "$WORK/bins/{RECORD}" ||
        fail "$RUN holds results of other samples; remove it, or name another WORK"
    printf '%s\\n' "results are in $RUN already" >&2
else
    rm -rf "$RUN".attempt*
    mkdir "$RUN.attempt"
    (cd "$RUN.attempt" && {_wrapped(words, "        ")}) > "$RUN.log" 2>&1 || {{
        tail -n 15 "$RUN.log" >&2
        fail "{tool.name} failed; its log is $RUN.log"
    }}{named}
    [ -d "$RUN.attempt/{RESULTS}" ] ||
        fail "{tool.name} ended well and wrote no results; its log is $RUN.log"
    SAMPLES=$(find "$WORK/bins/{LABEL}" -name '*.bin' | wc -l)
    FOUND=$(find "$RUN.attempt/{RESULTS}" -name '*_0.bin' | wc -l)
    [ "$((FOUND))" -eq "$((SAMPLES))" ] ||
        fail "{tool.name} wrote $((FOUND)) results of $((SAMPLES)); its log is $RUN.log"
    cp "$RUN.log" "$RUN.attempt/{LOG}"
    cp "$WORK/bins/{RECORD}" "$RUN.attempt/{RECORD}"
    printf '%s\\n' "$IDENTITY" > "$RUN.attempt/{IDENTITY}"
    mv "$RUN.attempt" "$RUN"
fi"""


@dataclass(frozen=True)
class RunScript:
    """What `stgcn ascend run --dry-run` prints.

    Attributes:
        bundle, data, work: absolute; labels: of the data, where they were named.
        inputs: the folders of samples, in the order of the OM's inputs.
        device: of the NPU; loop: calls on zeros, or None.
        options: of `stgcn data bins write` and `stgcn ascend run` alike, but for the places.
    """

    bundle: Path
    data: Path
    labels: Path | None
    work: Path
    om: OmFile
    tool: Tool
    inputs: tuple[str, ...]
    device: int
    loop: int | None
    options: tuple[str, ...]

    def text(self) -> str:
        """The script.

        Raises:
            UsageError: the tool cannot do it.
        """
        if any("\n" in str(path) for path in (self.bundle, self.data, self.work)):
            raise UsageError("a path with a line break in it cannot be carried in a script.")
        om, tool = self.om, self.tool
        places = [("BUNDLE", self.bundle), ("DATA", self.data), ("WORK", self.work)]
        if self.labels is not None:
            places.append(("LABELS", self.labels))
        given = "\n".join(
            f'[ -n "${{{name}:-}}" ] || {name}={shlex.quote(str(path))}' for name, path in places
        )
        default = ': "${PYTHON:=python3}"' if tool.name == "ais_bench" else ': "${MSAME:=msame}"'
        common = ["--data", '"$DATA"'] + (["--labels", '"$LABELS"'] if self.labels else [])
        common += [shlex.quote(word) for word in self.options]
        write = ['"$STGCN" data bins write', *common, "--bundle", '"$BUNDLE"', "-o", '"$WORK/bins"']
        score = ['"$STGCN" ascend run "$BUNDLE"', *common, "--work", '"$WORK"', "--tool", tool.name,
                 "--om", om.path.name, "--device", str(self.device)]  # fmt: skip
        if self.loop is not None:
            score += ["--loop", str(self.loop)]
        what = f"{om.path.name} (built for {om.device}, batch {om.batch}) on {self.data.name}"
        return f"""\
#!/bin/sh
# {one_line(what)}, by {tool.name}.
# Written by stgcn-deploy {__version__}.
#
# On the NPU host, where this package's run half and {tool.name} are, after
#     {TOOLKIT}
# The places below can be given instead:  BUNDLE=... DATA=... WORK=... sh THIS_FILE
# A run that was stopped and is started again goes on.
set -eu

{given}
: "${{STGCN:=stgcn}}"
{default}

{FAIL}

mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
BUNDLE=$(cd "$BUNDLE" && pwd)

printf '%s\\n' 'samples, one raw file each' >&2
{_wrapped(write, "")} >&2

printf '%s\\n' {shlex.quote(f"{tool.name} on {om.path.name}")} >&2
{stage_lines(om, tool, self.inputs, f"$BUNDLE/{om.path.name}", str(self.device))}

printf '%s\\n' 'scores' >&2
{_wrapped(score, "")} "$@"
"""
