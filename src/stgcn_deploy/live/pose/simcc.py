"""SimCC: where a joint is, as one row of bins along x and one along y.

Source: "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation" (Li et al. 2022);
the score is the lower of the two maxima, as MMPose's get_simcc_maximum has it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["simcc_joints"]


def simcc_joints(
    along_x: NDArray[np.float32], along_y: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Joints (V, 3) in pixels of the network's image with scores; not found: all zero.

    Args:
        along_x, along_y: (V, bins of W), (V, bins of H); a pixel has several bins.
        size: (W, H).
    """
    rows = (along_x, along_y)
    # NaN is no maximum.
    rows = tuple(np.where(np.isfinite(one), one, -np.inf) for one in rows)  # type: ignore[assignment]
    x, y = (
        one.argmax(axis=1) * (side / one.shape[1]) for one, side in zip(rows, size, strict=True)
    )
    score = np.minimum(*(one.max(axis=1) for one in rows))
    joints = np.stack([x, y, np.minimum(score, 1)], axis=1).astype(np.float32)
    joints[score <= 0] = 0
    return joints
