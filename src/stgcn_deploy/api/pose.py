"""pose_fetch: the weights of the pose estimator that comes with the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_deploy.api.common import Progress, quiet

if TYPE_CHECKING:
    from stgcn_deploy.live.pose.fetch import Fetched

__all__ = ["pose_fetch"]


def pose_fetch(
    wheel: str | Path | None = None, *, force: bool = False, progress: Progress = quiet
) -> Fetched:
    """Put BlazePose's weights into the cache: two files of MediaPipe's wheel, checked by SHA-256.

    Args:
        wheel: the wheel of mediapipe 0.10.21, where you have it; without it pip downloads it (36 MB).
        force: also where they are already.

    Returns:
        folder, files (name -> SHA-256), source (the wheel's name), licence, new.

    Raises:
        MissingDependencyError: pip is not here, or cannot get the wheel.
        FileUnreadableError: the wheel cannot be read, or lacks the files.
        HashMismatchError: it holds other files under their names; nothing was written.
    """
    from stgcn_deploy.live.pose.fetch import PACKAGE, fetch

    progress(f"taking the weights out of {wheel or PACKAGE}")
    return fetch(None if wheel is None else Path(wheel), force=force)
