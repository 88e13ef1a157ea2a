"""What Ultralytics' exports have in common: two forms of the output, and notes beside the graph.

Raw (N, 4 + classes + more, places): centre x, y, width, height, a score for each class, more.  End to end,
with NMS in the graph or without need for it (N, n, 6 + more): x1, y1, x2, y2, score, class, more.
Source: https://docs.ultralytics.com/modes/export and /guides/end2end-detection.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.pose.found import Found
from stgcn_deploy.live.pose.onnx_model import OnnxModel, Outputs
from stgcn_deploy.live.pose.pixels import Pixels
from stgcn_deploy.live.pose.whole_image import Decode

__all__ = ["OVERLAP", "PIXELS", "USUAL", "YoloNotes", "end_to_end", "raw"]

PERSON = "person"
USUAL = (640, 640)
MAX_TEXT = 1 << 16
# Ultralytics' own default.
OVERLAP = 0.7
# Red first, 0..1.
PIXELS = Pixels(std=(255.0, 255.0, 255.0))


class YoloNotes:
    """What the exporter noted; what is missing or no literal is as if it were not there.

    Attributes:
        task: "pose", "detect", ...; None where it is not said.
        classes: names; empty where they are not said.
        joints: (V, numbers for each joint); None where it is not said.
    """

    def __init__(self, model: OnnxModel) -> None:
        notes = model.metadata
        self.task = notes.get("task")
        names = _literal(notes.get("names", ""))
        if isinstance(names, dict):
            names = [names.get(index) for index in range(len(names))]
        known = isinstance(names, list) and all(isinstance(one, str) for one in names)
        self.classes: tuple[str, ...] = tuple(names) if known else ()
        shape = _literal(notes.get("kpt_shape", ""))
        fits = isinstance(shape, (list, tuple)) and len(shape) == 2
        self.joints: tuple[int, int] | None = None
        if fits and all(isinstance(one, int) for one in shape) and shape[1] in (2, 3):
            self.joints = (shape[0], shape[1])

    def person(self, model: OnnxModel) -> int:
        """Index of the class of persons: the first where classes have no names, or there is only one.

        Raises:
            UsageError: classes have names, and none of them is "person".
        """
        if len(self.classes) < 2:
            return 0
        if PERSON not in self.classes:
            listed = ", ".join(self.classes[:8])
            raise UsageError(
                f"{model.path} knows the classes {listed}{', ...' if len(self.classes) > 8 else ''}; "
                f"expected one called {PERSON!r}."
            )
        return self.classes.index(PERSON)

    def check_task(self, model: OnnxModel, task: str) -> None:
        """Refuse a network that says it does something else.

        Raises:
            UsageError: it does.
        """
        if self.task is not None and self.task != task:
            raise UsageError(
                f"{model.path} says that its task is {self.task[:20]!r}, expected {task!r}."
            )


def _literal(text: str) -> Any:
    """A Python literal of numbers and texts, or None."""
    try:
        return ast.literal_eval(text) if 0 < len(text) <= MAX_TEXT else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def raw(person: int, classes: int, joints: int = 0) -> Decode:
    """What reads the raw form; NMS is still to be done.

    Args:
        person: index of the class of persons; classes: how many there are.
        joints: V; 0 where only boxes are looked for.
    """

    def decode(outputs: Outputs, least: float) -> Found:
        # Of thousands of places few are anybody; NaN is not below anything, and is counted later.
        places = outputs[0]
        kept = places[:, ~(places[4 + person] < least)].T
        half = kept[:, 2:4] / 2
        boxes = np.concatenate([kept[:, :2] - half, kept[:, :2] + half], axis=1)
        return Found(boxes, kept[:, 4 + person], _joints(kept[:, 4 + classes :], joints))

    return decode


def end_to_end(person: int, joints: int = 0) -> Decode:
    """What reads the form with NMS in the graph; see `raw`."""

    def decode(outputs: Outputs, least: float) -> Found:
        rows = outputs[0]
        kept = rows[~(rows[:, 4] < least) & (rows[:, 5] == person)]
        return Found(kept[:, :4], kept[:, 4], _joints(kept[:, 6:], joints))

    return decode


def _joints(numbers: NDArray[np.float32], joints: int) -> NDArray[np.float32]:
    """(n, V * 3) or (n, V * 2) as (n, V, 3); a joint without a score is simply known."""
    if not joints:
        return np.zeros((len(numbers), 0, 3), np.float32)
    points = numbers.reshape(len(numbers), joints, numbers.shape[1] // joints)
    if points.shape[2] == 3:
        return points
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=2)
