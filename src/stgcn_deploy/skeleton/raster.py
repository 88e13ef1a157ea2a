"""Our own SVG drawings as PNG: rectangles, circles, texts, and paths of straight lines, nothing else.

One drawing for both kinds of file, instead of two that drift apart.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from stgcn_deploy.errors import requires

__all__ = ["INSTALL", "font", "svg_to_png"]

INSTALL = "pip install 'stgcn-deploy[plots]'"
_SMOOTH = 2
_INK = (28, 34, 48)
_LINE = re.compile(r"M([-\d.]+) ([-\d.]+)(?:L([-\d.]+) ([-\d.]+)|h[-\d.]+)")
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def font(size: float, *, bold: bool = False) -> Any:
    """The font that comes with matplotlib.

    Raises:
        MissingDependencyError: matplotlib or Pillow is not installed.
    """
    with requires("drawing a PNG or a GIF", INSTALL):
        import matplotlib as mpl
        from PIL import ImageFont
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", name), size)


def svg_to_png(svg: str, *, scale: float = 2.0) -> bytes:
    """A drawing of skeleton.draw as a PNG on white.

    Args:
        scale: pixels for one SVG unit.

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    with requires("drawing a PNG", INSTALL):
        from PIL import Image, ImageDraw
    root = ET.fromstring(svg)  # noqa: S314 -- our own drawing, not a file from outside
    size = float(root.get("width", "0")), float(root.get("height", "0"))
    factor = scale * _SMOOTH
    large = Image.new("RGB", (round(size[0] * factor), round(size[1] * factor)), "white")
    draw = ImageDraw.Draw(large)
    for element in root:
        kind = element.tag.rpartition("}")[2]
        if kind == "path":
            _path(draw, element, factor)
        elif kind == "rect":
            x, y, w, h, radius = (
                factor * float(element.get(key, "0")) for key in ("x", "y", "width", "height", "rx")
            )
            draw.rounded_rectangle((x, y, x + w, y + h), radius, fill=_colour(element))
        elif kind == "circle":
            x, y, radius = (factor * float(element.get(key, "0")) for key in ("cx", "cy", "r"))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(element))
        elif kind == "text":
            letters = font(
                factor * float(element.get("font-size", "12")),
                bold=element.get("font-weight", "") == "600",
            )
            spot = factor * float(element.get("x", "0")), factor * float(element.get("y", "0"))
            anchor = _ANCHORS[element.get("text-anchor", "start")]
            draw.text(spot, element.text or "", fill=_colour(element), font=letters, anchor=anchor)
    out = io.BytesIO()
    final = round(size[0] * scale), round(size[1] * scale)
    large.resize(final, Image.Resampling.LANCZOS).save(out, format="PNG", optimize=True)
    return out.getvalue()


def _colour(element: ET.Element) -> Any:
    """A fill, over white where it is translucent."""
    fill = element.get("fill", "currentColor")
    if fill != "currentColor":
        return fill
    opacity = float(element.get("fill-opacity", "1"))
    return tuple(round(255 + (part - 255) * opacity) for part in _INK)


def _path(draw: Any, element: ET.Element, factor: float) -> None:
    """Lines with round ends; one of no length is a dot."""
    stroke, width = element.get("stroke", ""), factor * float(element.get("stroke-width", "1"))
    for found in _LINE.finditer(element.get("d", "")):
        start = float(found[1]) * factor, float(found[2]) * factor
        end = (float(found[3]) * factor, float(found[4]) * factor) if found[3] else start
        if end != start:
            draw.line([start, end], fill=stroke, width=max(1, round(width)))
        for x, y in {start, end}:
            reach = width / 2
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=stroke)
