"""evaluate: accuracy of every deployed form on one data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stgcn_deploy.api.common import (
    EXPORT_INSTALL,
    is_bundle,
    make_hints,
    open_checkpoint,
)
from stgcn_deploy.errors import UsageError, requires

if TYPE_CHECKING:
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.measure.evaluation import Candidate, Evaluation

__all__ = ["evaluate"]


def evaluate(
    targets: Sequence[str | Path],
    data: str | Path,
    *,
    split: str | None = None,
    backend: Sequence[str] = ("onnxruntime",),
    topk: Sequence[int] = (1, 5),
    clips: int | None = None,
    fit: Literal["exact", "pad", "resample"] = "exact",
    raw: bool = False,
    limit: int | None = None,
    max_drop: float | None = None,
    min_top1: float | None = None,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    layout: str | None = None,
    contract: str | Path | None = None,
    config: str | Path | None = None,
    persons: int | None = None,
    frames: int | None = None,
    resume: bool = True,
    count: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Evaluation:
    """Accuracy of bundles and checkpoints on labelled recordings, side by side.

    A bundle is judged on each backend; a checkpoint in its reference form, by PyTorch in float32. The
    first candidate is what the others are compared with.

    Args:
        data: any file or folder of recordings, see `stgcn data info`.
        split: of it, for instance "test1"; None takes all.
        topk: places that count, for the report.
        clips: of each recording, how many to sample and average; None as its codebase tests.
        fit: for another number of frames than the graph's: refuse, pad with zeros, or resample.
        raw: take the numbers as a pose estimator's, where the format does not say so.
        limit: only so many records, spread evenly over the split.
        max_drop: percentage points of top-1 that a later candidate may lose against the first.
        min_top1: share, 0 to 1, that every candidate must reach.
        data_format, read: what the file is and what it does not say itself.
        layout, contract, config, persons, frames: of checkpoints, as for export.
        resume: go on where a run of the same files and options was stopped.
        count: called with the records done and in all; note: with a line for people.

    Raises:
        StgcnError: a target or a record cannot be used; losing too much is in the report.
    """
    from stgcn_deploy.data.formats import open_dataset
    from stgcn_deploy.measure.candidates import bundle_candidate
    from stgcn_deploy.measure.evaluation import Choice
    from stgcn_deploy.measure.evaluation import evaluate as run

    if max_drop is not None and max_drop < 0:
        raise UsageError(f"max_drop must be 0 or more points, got {max_drop}.")
    if min_top1 is not None and not 0 <= min_top1 <= 1:
        raise UsageError(f"min_top1 is a share between 0 and 1, got {min_top1}.")
    opened = open_dataset(data, read, format=data_format)
    candidates: list[Candidate] = []
    try:
        for target in map(Path, targets):
            if is_bundle(target):
                candidates += [bundle_candidate(target, name) for name in backend]
                continue
            hints = {"layout": layout, "contract": contract, "persons": persons, "frames": frames}
            candidates.append(_reference(target, config, hints))
        return run(
            _named(candidates),
            opened,
            Choice(split, limit, clips, fit, raw),
            topk=topk,
            max_drop=max_drop,
            min_top1=min_top1,
            resume=resume,
            count=count,
            note=note,
        )
    finally:
        for one in candidates:
            one.model.close()


def _reference(
    path: Path, config: str | Path | None, hints: dict[str, str | Path | int | None]
) -> Candidate:
    with requires("evaluating a checkpoint", EXPORT_INSTALL):
        from stgcn_deploy.exporter.session import torch_model
    from stgcn_deploy.measure.environment import versions
    from stgcn_deploy.measure.evaluation import Candidate

    loaded = open_checkpoint(path, make_hints(**hints), config)  # type: ignore[arg-type]
    model = torch_model(loaded)
    told = f"{loaded.sha256} {model.manifest.model_dump_json()} {versions().get('torch')}"
    return Candidate(
        name=str(path),
        form="PyTorch, reference, fp32",
        identity=hashlib.sha256(told.encode()).hexdigest(),
        model=model,
        classes=model.labels,
    )


def _named(candidates: list[Candidate]) -> list[Candidate]:
    """Names that tell candidates apart."""
    from dataclasses import replace

    names = [one.name for one in candidates]
    return [
        one if names.count(one.name) == 1 else replace(one, name=f"{one.name} ({one.form})")
        for one in candidates
    ]
