"""What codebases do to coordinates before the network sees them (facts of each codebase)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["prenormalize_2d"]


def prenormalize_2d(
    clip: NDArray[Any], image_size: tuple[int, int], *, score_threshold: float | None
) -> NDArray[np.float32]:
    """Pixels to -1..1 around the image centre: x' = (x - W/2) / (W/2), likewise y.

    Args:
        clip: (M, T, V, C) with x, y first; a third channel is the score and is kept.
        image_size: (W, H).
        score_threshold: joints with a score up to this become x = y = 0 (PYSKL); None keeps all
            (MMAction2).
    """
    half = np.array(image_size, dtype=np.float32) / 2
    out: NDArray[np.float32] = clip.astype(np.float32).copy()
    out[..., :2] = (out[..., :2] - half) / half
    if score_threshold is not None and clip.shape[-1] > 2:
        out[..., :2] *= clip[..., 2:3] > score_threshold
    return out
