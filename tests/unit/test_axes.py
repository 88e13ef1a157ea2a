"""Axis orders: one function there, one back, nothing lost between."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import UsageError
from stgcn_deploy.skeleton.axes import (
    AXIS_ORDERS,
    CANONICAL,
    named_shape,
    to_canonical,
    to_native,
)

orders = st.sampled_from([order for order in AXIS_ORDERS if "M" in order])
shapes = st.tuples(*[st.integers(1, 4)] * 5)


def _batch(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(shapes, orders)
def test_there_and_back_is_the_same_batch(shape: tuple[int, ...], axes: str) -> None:
    batch = _batch(shape)
    assert np.array_equal(to_canonical(to_native(batch, axes), axes), batch)
    assert np.array_equal(to_native(to_canonical(batch, axes), axes), batch)


@given(shapes, orders)
def test_every_number_keeps_its_place_by_name(shape: tuple[int, ...], axes: str) -> None:
    batch = _batch(shape)
    native = to_native(batch, axes)
    where = {axis: size - 1 for axis, size in zip(CANONICAL, shape, strict=True)}
    assert native[named_shape(axes, where)] == batch[tuple(where[axis] for axis in CANONICAL)]
    assert native.shape == named_shape(axes, dict(zip(CANONICAL, shape, strict=True)))


@given(shapes, orders)
def test_results_are_contiguous_for_runtimes(shape: tuple[int, ...], axes: str) -> None:
    assert to_native(_batch(shape), axes).flags.c_contiguous
    assert to_canonical(_batch(shape), axes).flags.c_contiguous


def test_the_order_of_st_gcn_is_what_its_code_says() -> None:
    assert to_native(np.zeros((1, 2, 30, 18, 3)), "NCTVM").shape == (1, 3, 30, 18, 2)


@given(st.tuples(*[st.integers(1, 4)] * 4))
def test_an_order_without_persons_is_that_of_one(shape: tuple[int, int, int, int]) -> None:
    batch = _batch((shape[0], 1, *shape[1:]))
    native = to_native(batch, "NCTV")
    assert np.array_equal(native, to_native(batch, "NCTVM")[..., 0])
    assert np.array_equal(to_canonical(native, "NCTV"), batch)
    assert native.flags.c_contiguous


@pytest.mark.parametrize("persons", [0, 2, 5])
def test_an_order_without_persons_takes_no_other_number(persons: int) -> None:
    with pytest.raises(UsageError, match=f"{persons} persons for a network of one"):
        to_native(np.zeros((1, persons, 4, 5, 3)), "NCTV")


UNKNOWN = [order for order in map("".join, permutations(CANONICAL)) if order not in AXIS_ORDERS]


@pytest.mark.parametrize(
    "axes", ["", "NCT", "NCVT", "NTVC", "NCTVMM", "NCTVX", "nctvm", "NNTVC", *UNKNOWN]
)
def test_orders_that_no_codebase_has_are_refused(axes: str) -> None:
    with pytest.raises(UsageError, match="axis order"):
        to_native(np.zeros((1, 1, 1, 1, 1)), axes)
    with pytest.raises(UsageError, match=AXIS_ORDERS[0]):
        to_canonical(np.zeros((1, 1, 1, 1, 1)), axes)


def test_named_shape_takes_names_for_sizes() -> None:
    sizes = {"N": "batch", "C": 3, "T": "frames", "V": 18, "M": 2}
    assert named_shape("NCTVM", sizes) == ("batch", 3, "frames", 18, 2)
