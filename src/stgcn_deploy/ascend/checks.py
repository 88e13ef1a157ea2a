"""Whether what a tool left is a run of all samples; needs numpy alone, so that it travels in a pack."""

from __future__ import annotations

import re
from pathlib import Path

from stgcn_deploy.ascend.summary import Timing
from stgcn_deploy.data.bins import read_results
from stgcn_deploy.errors import DataError

__all__ = ["check_run"]

# The other outputs of a network with several.
OTHER_OUTPUT = re.compile(r"\d+_(output_)?[1-9]\d*\.bin|sumary\.json")


def check_run(results: Path, count: int, classes: int, timing: Timing) -> tuple[str, ...]:
    """That a run gave the scores of exactly `count` records, in batches that are batches.

    A tool fills a batch by bytes: an OM with FP16 inputs takes half as many samples as its batch and
    computes on nonsense, without a word.

    Returns:
        What the reader should know.

    Raises:
        DataError: a result that is not right, or another number of calls than batches.
    """
    _check_calls(count, timing)
    found = read_results(results, count, classes=classes)
    notes = []
    strays = [name for name in found.ignored if not OTHER_OUTPUT.fullmatch(name)]
    if strays:
        notes.append(f"{results} holds what is no result: {', '.join(strays[:5])}; not read")
    if timing.calls is None:
        notes.append("the tool does not say how many calls it made, so that they were not checked")
    if timing.note:
        notes.append(timing.note)
    return tuple(notes)


def _check_calls(count: int, timing: Timing) -> None:
    needed = -(-count // timing.batch)
    files, calls = timing.files_per_batch, timing.calls
    if files not in (None, timing.batch) or calls not in (None, needed):
        what = f"{calls} call(s)" + (f" of {files} file(s)" if files is not None else "")
        raise DataError(
            f"the tool made {what}, and {count} samples in batches of {timing.batch} are {needed}: the OM "
            "takes another type or shape than float32 samples of this bundle (FP16 inputs?), or the "
            "folder held other files; its scores mean nothing. Build the OM again for this bundle."
        )
