"""The audit tells an engine's precision by what is in it, and says when it cannot tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tensorrt_doubles import inspection

from stgcn_deploy.builders.tensorrt.audit import Audit, audit_of, layer_precision
from stgcn_deploy.builders.tensorrt.precision import Rung
from stgcn_deploy.errors import BuildError

HALF = Rung("fp16", explicit=False, flags=("FP16",))
FULL = Rung("fp32", explicit=True, flags=())


@pytest.mark.parametrize("shape", [{}, {"dynamic": True}, {"modern": True}])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_layers_are_counted_by_precision(precision: str, shape: dict[str, bool]) -> None:
    found = audit_of(inspection({precision: 7}, **shape))
    assert found.layers == found.products == {precision: 7}
    assert found.actual == precision


def test_an_fp32_engine_is_not_fp16_for_its_reformats() -> None:
    """The layer that only moves is FP16 in every inspection here."""
    found = audit_of(inspection({"fp32": 9}))
    assert found.shortfall(FULL) is None
    assert found.shortfall(HALF) == (
        "asked for fp16, but it computes in fp32 (of 9 layers 9 in fp32)"
    )


@pytest.mark.parametrize(
    ("counts", "actual"),
    [
        ({"fp16": 5, "fp32": 4}, "fp16"),
        ({"fp16": 4, "fp32": 5}, "fp32"),
        ({"int8": 6, "fp16": 3}, "int8"),
        ({"int8": 2, "fp16": 3, "fp32": 4}, "fp16"),
    ],
)
def test_half_of_the_layers_decide(counts: dict[str, int], actual: str) -> None:
    assert audit_of(inspection(counts)).actual == actual


def test_a_graph_with_float_blocks_is_judged_by_what_it_has() -> None:
    """4 of 10 layers in INT8 are too few for a network, and enough for a graph that quantises half."""
    found = audit_of(inspection({"int8": 4, "fp32": 6}))
    whole = Rung("int8", explicit=True, flags=("INT8",))
    assert found.shortfall(whole) is not None
    assert found.shortfall(Rung("int8", explicit=True, flags=("INT8",), share=0.5)) is None
    none = audit_of(inspection({"fp32": 10}))
    assert none.shortfall(Rung("int8", explicit=True, flags=("INT8",), share=0.5)) is not None


def test_an_fp32_engine_that_came_out_lower_is_noticed() -> None:
    assert audit_of(inspection({"fp16": 9})).shortfall(FULL) is not None


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        ({"Inputs": [{"Format/Datatype": "Half(64,1:8,4096)"}]}, "fp16"),
        ({"Inputs": [{"Format/Datatype": "Row major linear BFloat16 format"}]}, "bf16"),
        ({"Inputs": [{"DataType": "Float"}, {"DataType": "Int8"}]}, "int8"),
        ({"Inputs": [{"DataType": "Int32"}, {"DataType": "Float"}]}, "fp32"),
        ({"Inputs": [{"DataType": "kHALF", "Format": "kCHW32"}]}, "fp16"),
        ({"Inputs": [{"Dimensions": [1, 3], "Format": "Row major linear FP32 (kLINEAR)"}]}, "fp32"),
        ({"Inputs": [{"DataType": "Int32"}]}, "unknown"),
        ({"Inputs": [{"DataType": "UInt8"}]}, "unknown"),
        ({"Weights": {"Type": "Half"}, "Inputs": [{"DataType": "Float"}]}, "fp16"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32"}, "int8"),
        ({"TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc"}, "fp16"),
        ({"TacticName": "ampere_sgemm_64x32_sliced1x4_nn"}, "fp32"),
        ({"TacticName": "0x0000000000000000"}, "unknown"),
        ({}, "unknown"),
        ({"Inputs": "Half"}, "unknown"),
        ({"Inputs": [None, 3], "Weights": None}, "unknown"),
    ],
)
def test_where_a_layer_says_its_precision(layer: dict[str, Any], precision: str) -> None:
    assert layer_precision(layer) == precision


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "gave no JSON"),
        ("[" * 100000, "gave no JSON"),
        ("{}", "lists no layers"),
        ('{"Layers": []}', "lists no layers"),
        ('{"Layers": {"a": 1}}', "lists no layers"),
        ("3", "lists no layers"),
        ('{"Layers": ["Conv_0", "Conv_1"]}', "the precision of none of 2 layers"),
        (json.dumps({"Layers": [{"LayerType": "CaskConvolution"}]}), "none of 1 layers"),
        (json.dumps({"Layers": [{"LayerType": "Reformat", "Inputs": [{"DataType": "Half"}]}]}),
         "none of 1 layers"),
    ],
)  # fmt: skip
def test_an_audit_that_sees_nothing_fails(text: str, told: str) -> None:
    with pytest.raises(BuildError, match=told):
        audit_of(text)


def test_unknown_layers_are_counted_and_do_not_judge() -> None:
    text = json.loads(inspection({"fp16": 2}))
    text["Layers"] += [{"LayerType": "kgen"}, "a name alone"]
    found = audit_of(json.dumps(text))
    assert found.layers == {"fp16": 2, "unknown": 2}
    assert found.actual == "fp16"


def test_without_products_all_layers_are_judged() -> None:
    layers = [{"LayerType": "kgen", "Inputs": [{"DataType": "Half"}]}] * 3
    found = audit_of(json.dumps({"Layers": layers}))
    assert (found.products, found.actual) == ({}, "fp16")


def test_a_conversion_is_no_convolution() -> None:
    layers = [
        {"LayerType": "Convert", "Inputs": [{"DataType": "Half"}]},
        {"LayerType": "CaskConvolution", "Inputs": [{"DataType": "Float"}]},
    ]
    assert audit_of(json.dumps({"Layers": layers})).products == {"fp32": 1}


def test_an_empty_audit_is_nothing() -> None:
    assert Audit({}, {}).share("fp32") == 0
