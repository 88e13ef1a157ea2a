"""What a training recipe of ours leaves beside the weights, so that an export needs no options.

    {"state_dict": {...}, "stgcn_deploy": {"layout": "jhmdb15", "frames": 40, "persons": 1,
     "stream": "joint", "fps": 30.0, "classes": [...], "contract": [{"name": ..., "params": {...}}],
     "recipe": {...}}}

Anybody's training may write the same entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.unwrap import RECORD
from stgcn_deploy.errors import CheckpointError
from stgcn_deploy.manifest import StepRecord
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["TrainingRecord", "training_record", "with_record"]


class TrainingRecord(BaseModel):
    """The entry; every field but `recipe` may be left out, none may be unknown.

    Attributes:
        classes: names in index order.
        contract: the steps from a recording to a clip, see skeleton.contract.
        recipe: how it was trained, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str | None = None
    frames: PositiveInt | None = None
    persons: PositiveInt | None = None
    stream: str | None = None
    fps: PositiveFloat | None = None
    classes: tuple[str, ...] = ()
    contract: tuple[StepRecord, ...] = ()
    recipe: dict[str, Any] = {}


def training_record(meta: Mapping[str, Any], where: str) -> TrainingRecord | None:
    """The entry of a file's `meta`, or None where there is none.

    Raises:
        CheckpointError: it is there and wrong.
    """
    if RECORD not in meta:
        return None
    try:
        return TrainingRecord.model_validate(meta[RECORD])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or RECORD
        raise CheckpointError(
            f"{where}: its entry {RECORD!r} is wrong: field {field!r}: {first['msg']}. Correct it, or "
            "remove the entry and say what it said by options."
        ) from None


def with_record(hints: Hints, record: TrainingRecord | None) -> Hints:
    """The hints, filled from the file where nothing was said from outside.

    Raises:
        UnknownNameError: the record names a layout that is not known.
    """
    if record is None:
        return hints
    layout = LAYOUTS[record.layout] if record.layout else None
    said: dict[str, Any] = {
        "layout": layout,
        "frames": record.frames,
        "persons": record.persons,
        "stream": record.stream,
        "fps": record.fps,
        "contract": tuple(one.step for one in record.contract) or None,
    }
    new = {
        name: value
        for name, value in said.items()
        if value is not None and getattr(hints, name) is None
    }
    return replace(hints, **new, origins={**dict.fromkeys(new, "file"), **hints.origins})
