"""The table of sources, and which of them an address means; add a file and a line to add a kind."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Callable
from pathlib import Path

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import Source
from stgcn_deploy.registry import Registry

__all__ = ["SOURCES", "gives_images", "kind_of", "open_source"]

SOURCES: Registry[Callable[[CameraSettings], Source]] = Registry(
    "kind of source",
    {
        "webcam": "stgcn_deploy.live.sources.webcam:Webcam",
        "stream": "stgcn_deploy.live.sources.stream:VideoStream",
        "video": "stgcn_deploy.live.sources.file:VideoFile",
        "folder": "stgcn_deploy.live.sources.file:VideoFolder",
        "key-point file": "stgcn_deploy.live.sources.lines:KeypointFile",
        "key-point input": "stgcn_deploy.live.sources.lines:KeypointInput",
        "key-point socket": "stgcn_deploy.live.sources.lines:KeypointSocket",
    },
)
SCHEMES = {
    "http": "stream",
    "https": "stream",
    "rtmp": "stream",
    "rtmps": "stream",
    "rtsp": "stream",
    "rtsps": "stream",
    "srt": "stream",
    "tcp": "key-point socket",
}
LINES = frozenset({".jsonl", ".ndjson"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_WEBCAM = re.compile(r"\d{1,3}|/dev/video\d+")
POSSIBLE = (
    "a file, a folder of images and videos, a webcam (0, 1, /dev/video0, ...), an address "
    f"({', '.join(f'{scheme}://' for scheme in SCHEMES)}), or - for key points from standard input"
)


def kind_of(source: str) -> str:
    """The name in SOURCES of what an address means.

    Raises:
        UsageError: it means nothing, or a file that is not there.
    """
    if source == "-":
        return "key-point input"
    scheme = _SCHEME.match(source)
    if scheme is not None:
        kind = SCHEMES.get(scheme[1].lower())
        if kind is None:
            raise UsageError(
                f"{redact(source)}: no source begins with {scheme[1]}://; possible are {POSSIBLE}."
            )
        return kind
    if _WEBCAM.fullmatch(source):
        return "webcam"
    path = Path(source)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise UsageError(_missing(path)) from None
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISFIFO(mode) or path.suffix.lower() in LINES:
        return "key-point file"
    return "video"


def open_source(settings: CameraSettings) -> Source:
    """The source of a camera, not opened yet.

    Raises:
        UsageError: see kind_of.
    """
    return SOURCES[kind_of(settings.source)](settings)


def gives_images(settings: CameraSettings) -> bool:
    """Whether people are still to be found in what a camera gives.

    Raises:
        UsageError: see kind_of.
    """
    return not kind_of(settings.source).startswith("key-point")


def _missing(path: Path) -> str:
    """That there is no such file, and what is there."""
    folder, name = path.parent, path.name
    try:
        there = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    except (OSError, ValueError):
        there = []
    close = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    hint = f" Near it: {', '.join(str(folder / one) for one in close)}." if close else ""
    return f"{redact(str(path))}: no such file or folder.{hint} A source is {POSSIBLE}."
