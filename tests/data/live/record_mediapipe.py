"""Record what mp.solutions finds in the clips of a folder; see README.md beside this file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EVERY = (0, 12, 24, 36, 48)
STATIC = {
    "clean_and_jerk.mp4": EVERY,
    "demo_skeleton.mp4": EVERY,
    "exercise.avi": (4, 8, 12, 16, 20),
    "ta_chi.mp4": EVERY,
}
VIDEO = {"ta_chi.mp4": (0, 1, 2, 5, 10, 20, 29)}


def record(clip: Path, kept: tuple[int, ...], static: bool) -> dict[str, Any]:
    """Frame -> 33 landmarks."""
    import av
    from mediapipe.python.solutions.pose import Pose

    found = {}
    with Pose(static_image_mode=static) as pose, av.open(str(clip)) as video:
        for index, frame in zip(range(max(kept) + 1), video.decode(video=0), strict=False):
            landmarks = pose.process(frame.to_ndarray(format="rgb24")).pose_landmarks
            if index in kept and landmarks:
                found[str(index)] = [
                    [
                        round(one.x * frame.width, 2),
                        round(one.y * frame.height, 2),
                        round(one.visibility, 4),
                    ]
                    for one in landmarks.landmark
                ]
    return found


def main() -> None:
    """Write JSON to standard output."""
    folder = Path(sys.argv[1])
    told = {
        "made_with": "mediapipe 0.10.21, mp.solutions.pose.Pose(model_complexity=1)",
        "static": {name: record(folder / name, kept, True) for name, kept in STATIC.items()},
        "video": {name: record(folder / name, kept, False) for name, kept in VIDEO.items()},
    }
    sys.stdout.write(json.dumps(told, separators=(",", ":")).replace(']],"', ']],\n"') + "\n")


if __name__ == "__main__":
    main()
