"""People and what they do, drawn into a picture: for the page, for videos, for a look at a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.live.frames import Box, Tracked
from stgcn_deploy.skeleton.scene import COLOURS, MIDDLE, bone_side

__all__ = ["INSTALL", "annotate", "caption_of", "plain"]

INSTALL = 'pip install "stgcn-deploy[live]"'
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Edge = tuple[int, int]

_WHITE: Colour = (255, 255, 255)
_GROUND = 24
# A joint so many pictures away is an error of the pose; far larger numbers overflow in OpenCV.
_AWAY = 4.0
# Least score -> how much of the picture shows through, surest first.
_VEILS = ((0.6, 0.0), (0.3, 0.45), (0.0, 0.7))
# OpenCV takes coordinates in sixteenths of a pixel.
_SHIFT = 4
_FONT = 0  # FONT_HERSHEY_SIMPLEX


def annotate(
    image: Image,
    people: Sequence[Tracked],
    *,
    edges: Sequence[Edge],
    captions: Mapping[int, str],
    banner: str = "",
    sides: Sequence[int] = (),
) -> Image:
    """Draw people into a copy of a picture.

    Joints that are not finite, all zero, or of score 0 are left out with their bones; unsure ones are
    pale.  Everything grows with the picture.

    Args:
        image: uint8 (H, W, 3), RGB.
        people: key points (V, C) in pixels of the image; the score is channel three, where there is one.
        edges: bones as pairs of joints; those beyond V are left out.
        captions: track -> what stands above the person.
        banner: one line at the upper edge.
        sides: of each joint, as skeleton.scene.joint_side says; (): one colour for the whole body.

    Raises:
        UsageError: the image is none.
        MissingDependencyError: OpenCV is not installed.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise UsageError(
            f"the picture to draw into has shape {image.shape} and dtype {image.dtype}, expected "
            "(H, W, 3), uint8."
        )
    out: Image = np.array(image, order="C")
    pen = _Pen(out)
    bodies = [_Body.of(one, pen.width, pen.height, sides) for one in people]
    for body in bodies:
        pen.skeleton(body, edges)
    # Texts last: nobody's arm crosses another one's caption.
    top = pen.banner(banner) if banner else 0
    for one, body in zip(people, bodies, strict=True):
        pen.frame(body, captions.get(one.track, ""), top)
    return out


def plain(size: tuple[int, int]) -> Image:
    """A dark picture of (W, H), for cameras that give key points alone."""
    return np.full((size[1], size[0], 3), _GROUND, np.uint8)


def caption_of(label: str, score: float | None) -> str:
    """A label and its score in per cent."""
    return label if score is None else f"{label} {score:.0%}"


def _colours(track: int) -> tuple[Colour, Colour, Colour]:
    """Left, middle, right of a person, as in all other pictures of ours."""
    row = COLOURS[track % len(COLOURS)]
    left, middle, right = (cast(Colour, tuple(bytes.fromhex(one[1:]))) for one in row)
    return left, middle, right


@dataclass(frozen=True)
class _Body:
    """Somebody, as they can be drawn.

    Attributes:
        points: int (V, 2), sixteenths of a pixel; seen: (V,) which of them are there.
        scores: (V,), 0 to 1.
        reach: x0, y0, x1, y1 in pixels, of the box or of the joints seen; None: nothing to draw.
    """

    points: NDArray[np.intp]
    seen: NDArray[np.bool_]
    scores: NDArray[np.float64]
    sides: tuple[int, ...]
    reach: tuple[float, float, float, float] | None
    colours: tuple[Colour, Colour, Colour]

    @classmethod
    def of(cls, one: Tracked, width: int, height: int, sides: Sequence[int]) -> _Body:
        """The joints of one person that are there."""
        values = np.asarray(one.detection.keypoints, np.float64)
        known = np.all(np.isfinite(values), axis=1)
        values = np.where(known[:, None], values, 0.0)
        spots, scores = values[:, :2], np.ones(len(values))
        if values.shape[1] > 2:
            scores = values[:, 2].clip(0.0, 1.0)
        limit = _AWAY * max(width, height)
        inside = np.all(np.abs(spots) < limit, axis=1)
        seen = known & inside & np.any(spots != 0, axis=1) & (scores > 0)
        spots = np.where(seen[:, None], spots, 0.0)
        return cls(
            points=np.rint(spots * (1 << _SHIFT)).astype(np.intp),
            seen=seen,
            scores=scores,
            sides=tuple(sides) if len(sides) == len(values) else (MIDDLE,) * len(values),
            reach=_reach(one.detection.box, spots[seen], limit),
            colours=_colours(one.track),
        )


def _reach(
    box: Box | None, spots: NDArray[np.float64], limit: float
) -> tuple[float, float, float, float] | None:
    if box is not None and np.isfinite(box).all() and max(map(abs, box)) < limit:
        return box[0], box[1], box[0] + box[2], box[1] + box[3]
    if not len(spots):
        return None
    (x0, y0), (x1, y1) = spots.min(axis=0), spots.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


class _Pen:
    """Draws into one picture, with lines as thick as suits its size."""

    def __init__(self, out: Image) -> None:
        with requires("drawing people into pictures", INSTALL):
            import cv2
        self._cv2: Any = cv2
        self._out = out
        self.height, self.width = int(out.shape[0]), int(out.shape[1])
        small = min(self.height, self.width)
        self._thick = max(1, round(small / 180))
        self._font = float(np.clip(small / 720, 0.35, 2.0))
        # Texts that are there: from x to x, at y.
        self._taken: list[tuple[int, int, int]] = []
        self._bold = max(1, round(self._font))
        self._pad = max(1, round(6 * self._font))

    def skeleton(self, body: _Body, edges: Sequence[Edge]) -> None:
        """Bones and joints, the unsure ones first and pale."""
        joints = len(body.seen)
        bones = [e for e in edges if max(e) < joints and min(e) >= 0 and body.seen[list(e)].all()]
        sure = np.array([body.scores[list(edge)].min() for edge in bones])
        upper = np.inf
        groups = []
        for least, veil in _VEILS:
            chosen = [e for e, score in zip(bones, sure, strict=True) if least <= score < upper]
            dots = np.flatnonzero(body.seen & (body.scores >= least) & (body.scores < upper))
            groups.append((chosen, dots, veil))
            upper = least
        for chosen, dots, veil in reversed(groups):
            if len(chosen) or len(dots):
                self._lines(body, chosen, dots, veil)

    def _lines(self, body: _Body, bones: Sequence[Edge], dots: Any, veil: float) -> None:
        used = body.points[sorted({*dots.tolist(), *(joint for bone in bones for joint in bone)})]
        margin = 4 * self._thick
        x0, y0 = np.maximum((used.min(axis=0) >> _SHIFT) - margin, 0)
        x1, y1 = (used.max(axis=0) >> _SHIFT) + margin
        part = self._out[y0 : max(y1, 0), x0 : max(x1, 0)]
        if not part.size:
            return
        drawn = part.copy() if veil else part
        spots = body.points - np.array((x0, y0)) * (1 << _SHIFT)
        spot = [(int(x), int(y)) for x, y in spots]
        for start, end in bones:
            colour = body.colours[bone_side(body.sides[start], body.sides[end])]
            self._cv2.line(
                drawn, spot[start], spot[end], colour, self._thick, self._cv2.LINE_AA, _SHIFT
            )
        radius = round(1.3 * self._thick * (1 << _SHIFT))
        for joint in dots:
            colour = body.colours[body.sides[joint]]
            self._cv2.circle(drawn, spot[joint], radius, colour, -1, self._cv2.LINE_AA, _SHIFT)
        if veil:
            self._cv2.addWeighted(drawn, 1 - veil, part, veil, 0, dst=drawn)
            part[:] = drawn

    def frame(self, body: _Body, caption: str, top: int) -> None:
        """The box of somebody and the text above it, or in it where there is no room below `top`."""
        if body.reach is None:
            return
        x0, y0, x1, y1 = (round(value) for value in body.reach)
        if x1 < 0 or y1 < 0 or x0 >= self.width or y0 >= self.height:
            return
        left, middle, _ = body.colours
        thin = max(1, self._thick // 2)
        self._cv2.rectangle(self._out, (x0, y0), (x1, y1), middle, thin)
        if caption:
            text, (width, height) = self._fitted(caption)
            x = min(max(x0, 0), self.width - width)
            y = self._free(x, y0, (width, height), top)
            self._out[y : y + height, x : x + width] = left
            self._write(text, x, y + height)

    def _free(self, x: int, y: int, size: tuple[int, int], top: int) -> int:
        """Where a text fits: above y, or below it, clear of those that are there already."""
        width, height = size
        lowest = max(0, self.height - height)
        above = list(range(y - height, top - 1, -height))
        below = list(range(max(y, top), lowest + 1, height))
        for spot in above + below:
            if not any(
                left < x + width and x < right and abs(spot - other) < height
                for left, right, other in self._taken
            ):
                break
        else:
            spot = min(max(y, top), lowest)
        self._taken.append((x, x + width, spot))
        return spot

    def banner(self, text: str) -> int:
        """One line over the upper edge, on a dark band of the height that is returned."""
        text, (_, height) = self._fitted(text)
        self._out[:height] //= 3
        self._write(text, 0, min(height, self.height))
        return height

    def _fitted(self, text: str) -> tuple[str, tuple[int, int]]:
        """A text that is no wider than the picture, and the size of its ground."""
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        width, height = self._measured(text)
        if width > self.width:
            text = text[: max(0, int(len(text) * self.width / width) - 2)].rstrip() + "..."
            width, height = self._measured(text)
        return text, (min(width, self.width), height)

    def _measured(self, text: str) -> tuple[int, int]:
        # The height of capitals and tails, so that captions with and without them are equally high.
        (width, _), _ = self._cv2.getTextSize(text, _FONT, self._font, self._bold)
        (_, high), below = self._cv2.getTextSize("Ag", _FONT, self._font, self._bold)
        return width + 2 * self._pad, high + below + 2 * self._pad

    def _write(self, text: str, left: int, bottom: int) -> None:
        _, below = self._cv2.getTextSize("Ag", _FONT, self._font, self._bold)
        spot = left + self._pad, bottom - self._pad - below // 2
        self._cv2.putText(
            self._out, text, spot, _FONT, self._font, _WHITE, self._bold, self._cv2.LINE_AA
        )
