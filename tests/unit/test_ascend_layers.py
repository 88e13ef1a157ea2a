"""The list of an OM's layers is counted, and what contradicts the precision asked for is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stgcn_deploy.builders.ascend_layers import Layers, precision_of, read_layers


def _layer(kind: str, dtype: str, side: str = "input_desc") -> dict[str, Any]:
    return {"name": kind, "type": kind, side: [{"dtype": dtype, "shape": {"dim": [1, 3]}}]}


def _read(tmp_path: Path, *layers: Any) -> Layers | str:
    path = tmp_path / "om.json"
    path.write_text(json.dumps({"graph": [{"name": "g", "op": list(layers)}]}), encoding="utf-8")
    return read_layers(path)


def test_layers_are_counted_by_what_goes_in(tmp_path: Path) -> None:
    wide = _layer("Conv2D", "DT_FLOAT16")
    wide["output_desc"] = [{"dtype": "DT_FLOAT"}]
    found = _read(
        tmp_path,
        wide,
        _layer("BatchMatMulV2", "DT_FLOAT"),
        _layer("SoftmaxV2", "DT_FLOAT"),
        _layer("Fill", "DT_BF16", "output_desc"),
    )
    assert found == Layers({"bf16": 1, "fp16": 1, "fp32": 2}, {"fp16": 1, "fp32": 1})
    assert str(found) == "1 bf16, 1 fp16, 2 fp32"


def test_what_only_moves_numbers_is_not_counted(tmp_path: Path) -> None:
    movers = [_layer(kind, "DT_FLOAT") for kind in ("Data", "Cast", "TransData", "NetOutput")]
    found = _read(tmp_path, *movers, _layer("Gather", "DT_INT64"), _layer("Conv2D", "DT_FLOAT16"))
    assert found == Layers({"fp16": 1}, {"fp16": 1})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"graph": 3}',
        '{"graph": [3, {"op": 4}, {"op": [5, {}]}]}',
        '{"graph": [{"op": [{"type": "Conv2D", "input_desc": []}]}]}',
        '{"graph": [{"op": [{"type": "Conv2D", "input_desc": [7]}]}]}',
        '{"graph": [{"op": [{"type": "Softmax", "input_desc": [{"dtype": "DT_FLOAT16"}]}]}]}',
        "[" * 100_000,
    ],
)
def test_a_list_that_tells_nothing_is_not_taken_for_an_answer(tmp_path: Path, text: str) -> None:
    path = tmp_path / "om.json"
    path.write_text(text, encoding="utf-8")
    assert isinstance(read_layers(path), str)


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "unreadable" in str(read_layers(tmp_path / "none.json"))


HALF = Layers({"fp16": 9, "fp32": 1}, {"fp16": 5})
BOTH = Layers({"fp16": 5, "fp32": 5}, {"fp16": 3, "fp32": 2})
FLOAT = Layers({"fp32": 10}, {"fp32": 5})


@pytest.mark.parametrize(
    ("layers", "asked", "graph", "actual"),
    [
        (HALF, "fp16", "fp32", "fp16"),
        (BOTH, "fp16", "fp32", "mixed"),
        (FLOAT, "fp16", "fp32", "origin"),
        (HALF, "mixed", "fp32", "mixed"),
        (BOTH, "mixed", "fp32", "mixed"),
        (FLOAT, "mixed", "fp32", "origin"),
        (HALF, "origin", "fp32", "fp16"),
        (BOTH, "origin", "fp32", "mixed"),
        (FLOAT, "origin", "fp32", "origin"),
        # A graph in FP16 keeps what it has, and widening it is a change too.
        (HALF, "origin", "fp16", "origin"),
        (FLOAT, "origin", "fp16", "mixed"),
    ],
)
def test_the_layers_decide_what_was_got(
    layers: Layers, asked: str, graph: str, actual: str
) -> None:
    assert precision_of(layers, asked, graph) == actual
