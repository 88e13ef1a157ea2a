"""Hand-made pose networks: small ONNX graphs whose answers depend on the image that they are given.

Joint j lies in the middle of what is bright in colour j % 3 of the network's image, so that wrong
letterboxes and wrong orders of colours move it; its score is a + b * (the upper left pixel of that
colour), so that wrong margins and wrong normalisation change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Graph", "colour_squares", "constant_model", "rtmo", "simcc", "yolo_pose"]

ELEMENT = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
}
Shape = Sequence[int | str | None]


class Graph:
    """Nodes in the order in which they are added; a value is its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, values: Any, name: str | None = None) -> str:
        """A constant."""
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = name or f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """One node with one output."""
        out = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def save(
        self,
        path: Path,
        outputs: Sequence[tuple[str, Shape]],
        image: Shape,
        *,
        dtype: str = "float32",
        notes: dict[str, str] | None = None,
    ) -> Path:
        """A model of these nodes; input `input` of shape `image`."""
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("input", ELEMENT[dtype], list(image))],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in outputs
            ],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, notes or {})
        onnx.save(model, str(path))
        return path


def _middles(g: Graph, size: tuple[int, int], bright: float, joints: int) -> tuple[str, str]:
    """(N, V, 2) middles of what is brighter than `bright`, and (N, V) upper left pixels."""
    width, height = size
    image = g.add("Cast", "input", to=TensorProto.FLOAT)
    lit = g.add("Cast", g.add("Greater", image, g.weight(bright)), to=TensorProto.FLOAT)
    axes = g.weight(np.array([2, 3]))
    count = g.add("Max", g.add("ReduceSum", lit, axes, keepdims=0), g.weight(1.0))
    places = []
    for line in (np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]):
        weighted = g.add("ReduceSum", g.add("Mul", lit, g.weight(line)), axes, keepdims=0)
        middle = g.add("Div", weighted, count)
        places.append(g.add("Unsqueeze", middle, g.weight(np.array([2]))))
    order = g.weight(np.arange(joints) % 3)
    points = g.add("Gather", g.add("Concat", *places, axis=2), order, axis=1)
    corner = g.add(
        "Slice",
        image,
        g.weight(np.array([0, 0])),
        g.weight(np.array([1, 1])),
        g.weight(np.array([2, 3])),
    )
    pixel = g.add("Squeeze", corner, g.weight(np.array([2, 3])))
    return points, g.add("Gather", pixel, order, axis=1)


def _scores(g: Graph, pixels: str, score: tuple[float, float]) -> str:
    return g.add("Add", g.add("Mul", pixels, g.weight(score[1])), g.weight(score[0]))


def _repeated(g: Graph, rows: np.ndarray) -> str:
    """(1, ...) constant numbers for each image of the batch, with its shape read off the input."""
    count = g.add("Shape", "input", start=0, end=1)
    rest = g.weight(np.array(rows.shape[1:], np.int64))
    return g.add("Expand", g.weight(rows), g.add("Concat", count, rest, axis=0))


def rtmo(
    path: Path,
    boxes: Sequence[Sequence[float]],
    *,
    size: tuple[int, int] = (64, 64),
    joints: int = 17,
    batch: int | str = "batch",
    score: tuple[float, float] = (0.0, 1 / 255),
    dtype: str = "float32",
    image: Shape | None = None,
) -> Path:
    """dets (N, n, 5) as they are given; everybody's joints are the image's colours."""
    g = Graph()
    points, pixels = _middles(g, size, 200.0, joints)
    third = g.add("Unsqueeze", _scores(g, pixels, score), g.weight(np.array([2])))
    person = g.add("Unsqueeze", g.add("Concat", points, third, axis=2), g.weight(np.array([1])))
    rows = np.array([boxes], np.float32).reshape(1, -1, 5)
    dets = g.add("Identity", _repeated(g, rows), name="dets")
    people = g.add("Tile", person, g.weight(np.array([1, rows.shape[1], 1, 1])), name="keypoints")
    n = rows.shape[1]
    shape = image or (batch, 3, size[1], size[0])
    return g.save(
        path, [(dets, (batch, n, 5)), (people, (batch, n, joints, 3))], shape, dtype=dtype
    )


def simcc(
    path: Path,
    *,
    size: tuple[int, int] = (48, 64),
    joints: int = 17,
    batch: int | str = "batch",
    bright: float = 1.0,
    score: tuple[float, float] = (0.6, 0.1),
    names: tuple[str, str] = ("simcc_x", "simcc_y"),
) -> Path:
    """simcc_x (N, V, 2 W), simcc_y (N, V, 2 H), highest where the colours are."""
    g = Graph()
    points, pixels = _middles(g, size, bright, joints)
    top = g.add("Unsqueeze", _scores(g, pixels, score), g.weight(np.array([2])))
    outputs = []
    for axis, (name, side) in enumerate(zip(names, size, strict=True)):
        middle = g.add("Gather", points, g.weight(np.array([axis])), axis=2)
        away = g.add("Abs", g.add("Sub", g.weight(np.arange(2 * side) / 2.0), middle))
        row = g.add("Sub", top, g.add("Mul", away, g.weight(1e-3)), name=name)
        outputs.append((row, (batch, joints, 2 * side)))
    return g.save(path, outputs, (batch, 3, size[1], size[0]))


def yolo_pose(
    path: Path,
    people: Sequence[tuple[Sequence[float], float]],
    *,
    size: tuple[int, int] = (64, 64),
    joints: int = 17,
    end_to_end: bool = False,
    scored: bool = True,
    batch: int | str = "batch",
    places: int = 300,
    score: tuple[float, float] = (0.0, 1.0),
    notes: dict[str, str] | None = None,
    dtype: str = "float32",
) -> Path:
    """Raw (N, 4 + 1 + 3 V, places), or end to end (N, n, 6 + 3 V), of (box, score) as they are given."""
    g = Graph()
    points, pixels = _middles(g, size, 0.8 if dtype != "uint8" else 200.0, joints)
    parts = [points]
    if scored:
        parts.append(g.add("Unsqueeze", _scores(g, pixels, score), g.weight(np.array([2]))))
    each = 3 if scored else 2
    flat = g.add("Concat", *parts, axis=2)
    flat = g.add("Reshape", flat, g.weight(np.array([0, 1, joints * each])))
    head = 6 if end_to_end else 5
    count = len(people) if end_to_end else places
    rows = np.zeros((1, count, head), np.float32)
    for row, (box, sure) in zip(rows[0], people, strict=False):
        row[:4], row[4] = box, sure
    more = g.add("Tile", flat, g.weight(np.array([1, count, 1])))
    table = g.add("Concat", _repeated(g, rows), more, axis=2)
    if end_to_end:
        out = g.add("Identity", table, name="output0")
        shape: Shape = (batch, count, head + each * joints)
    else:
        out = g.add("Transpose", table, perm=[0, 2, 1], name="output0")
        shape = (batch, head + each * joints, count)
    return g.save(path, [(out, shape)], (batch, 3, size[1], size[0]), dtype=dtype, notes=notes)


def constant_model(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    image: Shape = (1, 3, 64, 64),
    dtype: str = "float32",
    notes: dict[str, str] | None = None,
    weights: Sequence[str] = (),
) -> Path:
    """A network that gives the same whatever it sees; `weights` are names that lie in it unused."""
    g = Graph()
    for name in weights:
        g.weight(np.zeros(1), name)
    made = []
    for name, values in outputs.items():
        whole = g.weight(values.astype(np.float32))
        g.add("Identity", whole, name=name)
        made.append((name, values.shape))
    return g.save(path, made, image, dtype=dtype, notes=notes)


def colour_squares(
    size: tuple[int, int], middles: Sequence[tuple[float, float]], side: int = 8, ground: int = 20
) -> np.ndarray:
    """(H, W, 3) dark, with a red, a green and a blue square around these points."""
    image = np.full((size[1], size[0], 3), ground, np.uint8)
    for colour, (x, y) in enumerate(middles):
        left, top = round(x - side / 2), round(y - side / 2)
        image[top : top + side, left : left + side, colour] = 255
    return image
