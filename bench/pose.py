"""People found by a pose estimator in clips, and its CPU time per frame: the table of docs/pose.md.

    python bench/pose.py CLIP [CLIP ...] [--pose blazepose] [--detector hog] [--every 5] [--frames 300]

One thread, and the time that it was running: others on the machine make it little longer.  Decoding the
clip is not in it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from stgcn_deploy.live.frames import Frame
from stgcn_deploy.live.pose.registry import open_pose
from stgcn_deploy.live.settings import PoseSettings


def measure(clip: Path, settings: PoseSettings, most: int) -> str:
    """A line of the table."""
    import av

    pose = open_pose(settings)
    counts, times = [], []
    with av.open(str(clip)) as video:
        stream = video.streams.video[0]
        size = f"{stream.width}x{stream.height}"
        for index, image in zip(range(most), video.decode(stream), strict=False):
            t = index / float(stream.average_rate)
            frame = Frame(clip.name, t, t, image.to_ndarray(format="rgb24"))
            start = time.thread_time()
            (people,) = pose.detect([frame])
            times.append(1000 * (time.thread_time() - start))
            counts.append(len(people))
    pose.close()
    if not counts:
        raise SystemExit(f"{clip} has no frames: nothing was measured.")
    middle, most_of = np.percentile(times, [50, 95])
    return (
        f"| {clip.name} | {size} | {len(counts)} | {np.mean(np.array(counts) > 0):.0%} | "
        f"{np.mean(counts):.2f} | {np.mean(times):.1f} | {middle:.1f} | {most_of:.1f} |"
    )


def main() -> None:
    """Measure the clips that are named."""
    import cv2

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--pose", default="blazepose")
    parser.add_argument("--detector")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    settings = PoseSettings(name=asked.pose, detector=asked.detector, detector_every=asked.every)
    print(f"OpenCV {cv2.__version__}, {settings}")
    print("| clip | size | frames | somebody | people | ms mean | p50 | p95 |")
    print("|---|---|---|---|---|---|---|---|")
    for clip in asked.clips:
        print(measure(clip, settings, asked.frames))


if __name__ == "__main__":
    main()
