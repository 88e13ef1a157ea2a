"""Axis orders: ours is (N, M, T, V, C); a model file keeps the one its codebase trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError

__all__ = ["AXIS_ORDERS", "CANONICAL", "named_shape", "to_canonical", "to_native"]

CANONICAL = "NMTVC"
AXIS_ORDERS = ("NCTVM", "NMTVC", "NCTV")


def _check(axes: str) -> None:
    if axes not in AXIS_ORDERS:
        raise UsageError(f"axis order {axes!r} is none of {', '.join(AXIS_ORDERS)}.")


def to_native(batch: NDArray[Any], axes: str) -> NDArray[Any]:
    """(N, M, T, V, C) in the order of `axes`, contiguous.

    Raises:
        UsageError: an unknown order, or M > 1 where `axes` has no M.
    """
    _check(axes)
    if "M" not in axes:
        if batch.shape[1] != 1:
            raise UsageError(f"{batch.shape[1]} persons for a network of one; its axes are {axes}.")
        return np.ascontiguousarray(batch[:, 0].transpose(["NTVC".index(axis) for axis in axes]))
    return np.ascontiguousarray(batch.transpose([CANONICAL.index(axis) for axis in axes]))


def to_canonical(batch: NDArray[Any], axes: str) -> NDArray[Any]:
    """A batch in the order of `axes` as (N, M, T, V, C), contiguous."""
    _check(axes)
    if "M" not in axes:
        return to_canonical(batch[..., None], axes + "M")
    return np.ascontiguousarray(batch.transpose([axes.index(axis) for axis in CANONICAL]))


def named_shape(axes: str, sizes: dict[str, Any]) -> tuple[Any, ...]:
    """The sizes of the axes, in the order of `axes`, e.g. "NCTVM"."""
    return tuple(sizes[axis] for axis in axes)
