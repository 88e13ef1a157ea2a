"""The table of INT8 recipes: one for every machine, and none that would saturate."""

from __future__ import annotations

import re

import pytest

from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.precision.recipes import (
    METHODS,
    RECIPES,
    REFUSED,
    TARGETS,
    Cpu,
    check_target,
    recipe_for,
)

VNNI = Cpu("x86_64", frozenset({"avx2", "avx512_vnni"}))
OLD = Cpu("x86_64", frozenset({"avx2"}))
ARM = Cpu("aarch64", frozenset())
ODD = Cpu("riscv64", frozenset())


def test_every_recipe_says_why_and_has_a_name_of_its_own() -> None:
    assert len({row.name for row in RECIPES}) == len(RECIPES)
    for row in RECIPES:
        assert len(row.evidence) > 40, row.name
        assert row.method in METHODS
        for pattern in row.keep:
            re.compile(pattern)


@pytest.mark.parametrize("cpu", [VNNI, OLD, ARM, ODD])
@pytest.mark.parametrize("target", [name for name in TARGETS if name not in REFUSED])
def test_every_target_has_a_recipe_on_every_machine(target: str, cpu: Cpu) -> None:
    assert recipe_for(target, cpu).target == target


def test_without_vnni_weights_have_seven_bits() -> None:
    assert not recipe_for("onnxruntime", VNNI).reduce_range
    assert recipe_for("onnxruntime", OLD).reduce_range
    assert recipe_for("onnxruntime", ODD).reduce_range
    assert "7-bit weights" in recipe_for("onnxruntime", OLD).scheme


def test_arm_and_tensorrt_take_symmetric_signed_activations() -> None:
    for row in (recipe_for("onnxruntime", ARM), recipe_for("tensorrt", VNNI)):
        assert (row.activations, row.weights, row.symmetric) == ("s8", "s8", True)


def test_this_machine_is_known() -> None:
    assert Cpu.here().machine
    assert recipe_for("onnxruntime").target == "onnxruntime"


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tensorrt'"):
        check_target("tensort")


def test_a_target_that_takes_no_such_graph_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match="AMCT"):
        recipe_for("ascend")
