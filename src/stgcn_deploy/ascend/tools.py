"""The two tools that run an OM on raw files, by the grammar that their own source states.

ais_bench (Ascend/tools 0.0.2 and its later homes ait and msit), `python -m ais_bench`:
    takes one folder for each input and reads the *.bin and *.npy files in it, not in folders below, in
    natural order; fills a batch with as many files as the tensor holds; pads the last batch with its
    first file and writes nothing for the padding; `--output_dirname` must be relative in later versions,
    which also take no path with other characters than letters, digits, _ . / and -
msame (older):
    takes one folder for each input, every file in it (but names that begin with a dot) as one whole call:
    only batch 1; a path with ".bin" in it is a file to it; `--loop` counts only without folders; leaves
    with code 0 when its arguments are wrong

Source: Ascend/tools, ais-bench_workload/tool/ais_infer/ais_bench/infer/{__main__,io_oprations,utils}.py and
msame/src/{main,sample_process,model_process,utils}.cpp at 4ce01e33; ait at 0784598f.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stgcn_deploy.errors import BackendError, MissingDependencyError, UsageError

__all__ = ["LOG", "RESULTS", "SUMMARY", "TOOLS", "Job", "Tool", "tool_of"]

# In the folder that a tool writes into.
RESULTS, SUMMARY, LOG = "results", "results_summary.json", "log.txt"
MAX_DEVICE = 255
MOST_LOOPS = {"ais_bench": None, "msame": 100}
TOOLKIT = ". /usr/local/Ascend/ascend-toolkit/set_env.sh"


@dataclass(frozen=True)
class Job:
    """One run of a tool.

    Attributes:
        om: the OM file; inputs: a folder of samples for each of its inputs, none to run on zeros.
        batch: clips in one call.
        device: number of the NPU.
        loop: calls, where there are no inputs.
    """

    om: Path
    inputs: tuple[Path, ...]
    batch: int
    device: int = 0
    loop: int = 1


class Tool(Protocol):
    """One tool.

    Attributes:
        name: the table's name of it.
        program: what starts it, where nothing else was found.
        warm_up: calls at the beginning that its times include.
    """

    name: str
    program: tuple[str, ...]
    warm_up: int

    def find(self) -> tuple[str, ...]:
        """What starts it here.

        Raises:
            MissingDependencyError: it is not installed.
        """

    def check(self, job: Job) -> None:
        """That it can do the job.

        Raises:
            UsageError: it cannot, or would do another one in silence.
        """

    def arguments(self, job: Job, out: str) -> tuple[str, ...]:
        """What follows the program; results go below the folder `out`, which exists and is empty."""

    def settle(self, out: Path) -> None:
        """Put the results into `out`/RESULTS.

        Raises:
            BackendError: there are none.
        """


def _check_common(tool: str, job: Job) -> None:
    if not 0 <= job.device <= MAX_DEVICE:
        raise UsageError(f"device must be 0 to {MAX_DEVICE}, got {job.device}.")
    most = MOST_LOOPS[tool]
    if job.loop < 1 or (most is not None and job.loop > most):
        upto = f" to {most}" if most else " or more"
        raise UsageError(f"{tool} takes a loop of 1{upto}, got {job.loop}.")
    for path in job.inputs:
        if "," in str(path):
            raise UsageError(
                f"{path}: {tool} cuts its input at commas; choose a --work folder without one."
            )


class AisBench:
    """See Tool and the module."""

    name = "ais_bench"
    program: tuple[str, ...] = ("python3", "-m", "ais_bench")
    warm_up = 0

    def find(self) -> tuple[str, ...]:
        """See Tool.find: the Python that runs this, else python3, whichever has it."""
        test = "import importlib.util as u, sys; sys.exit(u.find_spec('ais_bench') is None)"
        for python in dict.fromkeys((sys.executable, shutil.which("python3"))):
            # Elsewhere, so that a folder of that name here is not taken for it.
            if python and not subprocess.run([python, "-c", test], check=False, cwd="/").returncode:
                return (python, "-m", "ais_bench")
        raise MissingDependencyError(
            "ais_bench is not installed for this Python nor for python3 (it is on no package index: "
            "install the wheels aclruntime and ais_bench of Ascend's tools repository), so that "
            "nothing was run. `--tool msame` takes the older tool; `--dry-run` prints a script to run "
            "on the NPU host."
        )

    def check(self, job: Job) -> None:
        """See Tool.check."""
        _check_common(self.name, job)

    def arguments(self, job: Job, out: str) -> tuple[str, ...]:
        """See Tool.arguments."""
        words = ["--model", str(job.om)]
        if job.inputs:
            words += ["--input", ",".join(map(str, job.inputs))]
        else:
            words += ["--loop", str(job.loop)]
        # The batch size enters the tool's throughput only; how many files make a batch, sizes decide.
        return (
            *words, "--output", out, "--output_dirname", RESULTS, "--outfmt", "BIN",
            "--batchsize", str(job.batch), "--device", str(job.device),
            "--display_all_summary", "true",
        )  # fmt: skip

    def settle(self, out: Path) -> None:
        """See Tool.settle: they are there already."""
        if not (out / RESULTS).is_dir():
            raise BackendError("it ended well and made no folder of results.")


class Msame:
    """See Tool and the module."""

    name = "msame"
    program: tuple[str, ...] = ("msame",)
    warm_up = 1

    def find(self) -> tuple[str, ...]:
        """See Tool.find."""
        found = shutil.which("msame")
        if found is None:
            raise MissingDependencyError(
                "msame is not on PATH (it is built from Ascend's tools repository), so that nothing "
                "was run. `--dry-run` prints a script to run on the NPU host."
            )
        return (found,)

    def check(self, job: Job) -> None:
        """See Tool.check."""
        _check_common(self.name, job)
        if job.inputs and job.batch != 1:
            raise UsageError(
                f"msame takes every file as a whole call, so that it cannot fill a batch of {job.batch}; "
                "name an OM of batch size 1, or --tool ais_bench."
            )
        for path in job.inputs:
            if ".bin" in str(path):
                raise UsageError(
                    f"{path}: msame takes a path with '.bin' in it for a file; choose another --work."
                )

    def arguments(self, job: Job, out: str) -> tuple[str, ...]:
        """See Tool.arguments."""
        words = ["--model", str(job.om)]
        if job.inputs:
            words += ["--input", ",".join(map(str, job.inputs))]
        else:
            words += ["--loop", str(job.loop)]
        return (*words, "--output", out, "--outfmt", "BIN", "--device", str(job.device))

    def settle(self, out: Path) -> None:
        """See Tool.settle: out of the folder that is called by the time."""
        made = [path for path in out.iterdir() if path.is_dir()]
        if len(made) != 1:
            raise BackendError(
                f"it ended well and made {len(made)} folders of results, expected one."
            )
        made[0].rename(out / RESULTS)


TOOLS: dict[str, Tool] = {"ais_bench": AisBench(), "msame": Msame()}


def tool_of(name: str) -> Tool:
    """The tool of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in TOOLS:
        raise UsageError(f"unknown tool {name!r}; known: {', '.join(TOOLS)}.")
    return TOOLS[name]
