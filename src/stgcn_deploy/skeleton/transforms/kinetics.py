"""Kinetics-skeleton and its like: image points as fractions of the image.

Sources: st-gcn (kinetics feeder), 2s-AGCN (kinetics_gendata), the MediaPipe guides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import ClipError

__all__ = ["best_per_frame", "fractions"]

Array = NDArray[Any]
# Fractions leave 0..1 where a joint is outside the image, but never by so much.
FARTHEST = 10.0


def fractions(
    points: Array, image_size: tuple[int, int] | None, *, offset: float = 0.0, flip_y: bool = False
) -> Array:
    """Fractions of the image: x / W - offset, y / H - offset; points (M, T, V, 2).

    Args:
        image_size: (W, H); None when the points are fractions already, as released data are.
        flip_y: y upwards (2s-AGCN); st-gcn keeps it downwards.

    Raises:
        ClipError: no image size, and values that can only be pixels.
    """
    out = points.astype(np.float32)
    if image_size is not None:
        out /= np.array(image_size, dtype=np.float32)
    elif np.abs(out).max() > FARTHEST:
        raise ClipError(
            f"coordinates up to {np.abs(out).max():.6g} are pixels, and the clip does not say of what "
            "image; give its size: --image-size WIDTHxHEIGHT."
        )
    out -= np.float32(offset)
    if flip_y:
        out[..., 1] *= -1
    return out


def best_per_frame(
    points: Array, score: Array, *, keep: int = 2, candidates: int = 5
) -> tuple[Array, Array]:
    """In each frame the `keep` persons with the highest sums of scores, best first.

    Who a slot holds may change from frame to frame, as in the data that networks were trained on.

    Args:
        points, score: (M, T, V, C), (M, T, V).
        candidates: only the first so many persons are looked at.
    """
    looked, sure = points[:candidates], score[:candidates]
    order = np.argsort(-sure.sum(axis=2, dtype=np.float64), axis=0, kind="stable")[:keep]
    chosen = np.take_along_axis(looked, order[:, :, None, None], axis=0)
    return chosen, np.take_along_axis(sure, order[:, :, None], axis=0)
