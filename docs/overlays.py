"""One annotated frame of each clip, for a person to look at: is the skeleton where the people are?

    python docs/overlays.py --clips FOLDER -o build/overlays

The frame is the one in the middle; the estimator has seen the second before it, as it would live.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import FileUnreadableError, StgcnError, UsageError, requires
from stgcn_deploy.files import fresh_file
from stgcn_deploy.live.frames import Detection, Frame, Tracked
from stgcn_deploy.live.overlay import INSTALL, annotate, caption_of
from stgcn_deploy.live.pose.base import Pose
from stgcn_deploy.live.settings import PoseSettings
from stgcn_deploy.skeleton.layouts import LAYOUTS
from stgcn_deploy.skeleton.scene import joint_side

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
# Frames before the one that is drawn, which the estimator sees as well.
BEFORE = 25


@dataclass(frozen=True)
class Drawn:
    """A clip's picture.

    Attributes:
        index: of the frame; frames: of the whole clip.
    """

    clip: str
    file: Path
    index: int
    frames: int
    people: int


def find_clips(places: Sequence[Path]) -> list[Path]:
    """Files, and the clips of folders.

    Raises:
        UsageError: there are none, or two of one name.
    """
    found = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        found += [one for one in inside if place.is_file() or one.suffix.lower() in ENDINGS]
    missing = [str(one) for one in found if not one.is_file()]
    if missing or not found:
        raise UsageError(f"no clips: {', '.join(missing or map(str, places))}.")
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise UsageError("two clips have one name, and their pictures would as well.")
    return found


def middle(path: Path) -> tuple[list[Frame], int, int]:
    """The frames up to the one in the middle, its index, and how many there are.

    Raises:
        FileUnreadableError: it is no video.
        MissingDependencyError: PyAV is not installed.
    """
    # What containers say of their length is wrong too often.
    count = sum(1 for _ in _decoded(path))
    if not count:
        raise FileUnreadableError(f"{path} holds no frame.")
    index = count // 2
    frames = []
    for number, (t, image) in enumerate(_decoded(path)):
        if number >= index - BEFORE:
            frames.append(Frame(path.name, t, t, image, size=(image.shape[1], image.shape[0])))
        if number == index:
            break
    return frames, index, count


def _decoded(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    with requires("reading clips", INSTALL):
        import av
    try:
        with av.open(str(path)) as file:
            for number, frame in enumerate(file.decode(video=0)):
                t = number / 25 if frame.time is None else frame.time
                yield t, frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise FileUnreadableError(f"{path} is no video that can be read: {error}.") from None


def draw(clip: Path, pose: Pose, folder: Path, *, force: bool = False) -> Drawn:
    """Find the people of a clip and draw its middle frame into `folder`.

    Raises:
        StgcnError: the clip cannot be read, the estimator failed, or the picture exists.
    """
    with requires("writing pictures", INSTALL):
        import cv2
    frames, index, count = middle(clip)
    people: tuple[Detection, ...] = ()
    for frame in frames:
        people = pose.detect([frame])[0]
    pose.forget(clip.name)
    layout = LAYOUTS[pose.layout]
    image = frames[-1].image
    assert image is not None
    drawn = annotate(
        image,
        [Tracked(number, one) for number, one in enumerate(people)],
        edges=layout.edges,
        sides=[joint_side(joint) for joint in layout.joints],
        captions={n: caption_of(f"person {n + 1}", one.score) for n, one in enumerate(people)},
        banner=f"{clip.name}  frame {index + 1} of {count}  {pose.name}: {len(people)} found",
    )
    path = folder / f"{clip.stem}.jpg"
    code, content = cv2.imencode(".jpg", drawn[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 92))
    assert code
    with fresh_file(path, force=force) as partial:
        partial.write_bytes(content.tobytes())
    return Drawn(clip.name, path, index, count, len(people))


def main(arguments: Sequence[str] | None = None, *, pose: Pose | None = None) -> int:
    """Draw; 0, or 1 where nobody was found in any clip, or the exit code of an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders or files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--pose", default="blazepose", help="a pose estimator")
    parser.add_argument("--pose-model", help="your ONNX file, for estimators that take one")
    parser.add_argument("--pose-detector", help="of persons: hog, or your ONNX file")
    parser.add_argument("--force", action="store_true", help="replace pictures")
    asked = parser.parse_args(arguments)
    try:
        clips = find_clips(asked.clips)
        if pose is None:
            from stgcn_deploy.live.pose.registry import open_pose

            pose = open_pose(
                PoseSettings(name=asked.pose, model=asked.pose_model, detector=asked.pose_detector)
            )
        found = []
        try:
            for clip in clips:
                found.append(draw(clip, pose, asked.output, force=asked.force))
                one = found[-1]
                print(f"{one.clip}: {one.people} found in frame {one.index + 1}: {one.file}")
        finally:
            pose.close()
    except StgcnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if not any(one.people for one in found):
        print("error: nobody was found in any clip: that shows nothing.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
