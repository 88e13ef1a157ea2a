"""A clip as an animated GIF, drawn with Pillow at twice the size and scaled down, for smooth lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.skeleton.raster import INSTALL, font
from stgcn_deploy.skeleton.scene import COLOURS, Scene

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MOST_FRAMES", "clip_gif"]

# Each frame is a picture of its own: more make files that no page wants to load.
MOST_FRAMES = 1500
# Browsers play anything faster at 10 fps.
FASTEST = 50.0
DEFAULT_FPS = 25.0
_SMOOTH = 2
_PAD, _FOOT = 14.0, 20.0
_NARROW, _WIDE = 0.75, 1.9
_BACK, _INK = "#ffffff", "#606a7b"


def clip_gif(
    scene: Scene, *, title: str = "", fps: float | None = None, height: int = 320
) -> bytes:
    """The file, on white.  Frames with nobody at either end are left out.

    Args:
        fps: frames per second, where known; frames are left out where it is above FASTEST.

    Raises:
        UsageError: too many frames, or too little height.
        MissingDependencyError: Pillow is not installed.
    """
    if height < 80:
        raise UsageError(f"height is {height}; at least 80 pixels are needed.")
    with requires("drawing a GIF", INSTALL):
        from PIL import Image
    rate = fps or DEFAULT_FPS
    chosen = _chosen(scene, rate)
    if len(chosen) > MOST_FRAMES:
        raise UsageError(
            f"{len(chosen)} frames are too many for a GIF ({MOST_FRAMES}); draw an .html page, or cut "
            "it first: stgcn data convert --frames."
        )
    pictures = list(_pictures(scene, chosen, title, height, rate))
    # One palette of all colours in use keeps the frames alike, and the file small.
    palette = pictures[len(pictures) // 2].quantize(64)
    indexed = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    out = io.BytesIO()
    step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else 1
    # GIF counts in hundredths of a second.
    duration = max(20, round(100 * step / rate) * 10)
    indexed[0].save(
        out, format="GIF", save_all=True, append_images=indexed[1:], duration=duration, loop=0
    )
    return out.getvalue()


def _chosen(scene: Scene, fps: float) -> NDArray[np.intp]:
    """Indices of the frames to draw."""
    filled = np.flatnonzero(scene.present.any(axis=(0, 2)))
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, 0)
    step = max(1, int(np.ceil(fps / FASTEST)))
    return np.arange(first, last + 1, step)


def _pictures(
    scene: Scene, chosen: NDArray[np.intp], title: str, height: int, fps: float
) -> Iterator[Image]:
    """One picture after the other."""
    from PIL import Image, ImageDraw

    size = scene.high - scene.low
    inner = height - 2 * _PAD - _FOOT
    aspect = float(np.clip(size[0] / size[1], _NARROW, _WIDE))
    scale = float(min(inner / size[1], inner * aspect / size[0])) * _SMOOTH
    width = round(inner * aspect + 2 * _PAD)
    middle = np.array([width / 2, _PAD + inner / 2]) * _SMOOTH
    centre = (scene.low + scene.high)[:2] / 2
    bone = float(np.clip(0.016 * scene.body * scale, 1.5 * _SMOOTH, 5 * _SMOOTH))
    small = font(11)
    for frame in chosen:
        large = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), _BACK)
        draw = ImageDraw.Draw(large)
        for person in scene.persons:
            spots = (scene.points[person, frame, :, :2] - centre) * scale + middle
            _person(
                draw,
                scene,
                spots,
                scene.present[person, frame],
                COLOURS[person % len(COLOURS)],
                bone,
            )
        picture = large.resize((width, height), Image.Resampling.LANCZOS)
        text = ImageDraw.Draw(picture)
        place = f"{int(frame)}  {frame / fps:.2f} s"
        room = width - 2 * _PAD - text.textlength(place, font=small) - 12
        text.text((width - _PAD, height - 8), place, fill=_INK, font=small, anchor="rs")
        text.text(
            (_PAD, height - 8), _cut(text, title, room, small), fill=_INK, font=small, anchor="ls"
        )
        yield picture


def _cut(draw: Any, title: str, room: float, small: Any) -> str:
    """As much of a title as there is room for."""
    plain = "".join(letter if letter.isprintable() else " " for letter in title)
    if draw.textlength(plain, font=small) <= room:
        return plain
    while plain and draw.textlength(plain + "...", font=small) > room:
        plain = plain[:-1]
    return plain + "..." if plain else ""


def _person(
    draw: Any,
    scene: Scene,
    spots: NDArray[np.float64],
    present: NDArray[np.bool_],
    colours: tuple[str, str, str],
    width: float,
) -> None:
    """Bones, then joints over them; lines end round."""
    for bone in scene.bones:
        if present[bone.start] and present[bone.end]:
            wide = width * (0.45 if bone.face else 1.0)
            ends = [tuple(spots[bone.start]), tuple(spots[bone.end])]
            draw.line(ends, fill=colours[bone.side], width=max(1, round(wide)))
            for end in ends:
                _disc(draw, end, wide / 2, colours[bone.side])
    for joint in np.flatnonzero(present):
        wide = width * (0.8 if scene.faces[joint] else 1.75)
        _disc(draw, tuple(spots[joint]), wide / 2, colours[scene.sides[joint]])


def _disc(draw: Any, spot: tuple[float, ...], radius: float, colour: str) -> None:
    x, y = spot
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
