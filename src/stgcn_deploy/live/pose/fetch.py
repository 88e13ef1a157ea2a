"""BlazePose's weights: two files out of MediaPipe's wheel, into the cache.

They are Google's, Apache-2.0, and do not come with this package: an ordinary wheel is downloaded by pip, or
given by the user, and nothing of it is taken but the two files, if they are bit for bit those that the
decoder was checked with.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import zipfile
import zlib
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stgcn_deploy.builders.tool import run_tool
from stgcn_deploy.errors import (
    BuildError,
    FileUnreadableError,
    HashMismatchError,
    MissingDependencyError,
)
from stgcn_deploy.files import cache_folder, fresh_directory

__all__ = [
    "DETECTOR",
    "LANDMARKS",
    "WEIGHTS",
    "Fetched",
    "Weights",
    "fetch",
    "find_weights",
    "weights_folder",
]

DETECTOR = "pose_detection.tflite"
LANDMARKS = "pose_landmark_full.tflite"
# The last that has weights in it.  Whatever the machine, this one wheel: the files are the same in all.
PACKAGE = "mediapipe==0.10.21"
WHEEL_OF = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)
LICENCE = "Apache-2.0"
AUTHORS = "Google LLC (The MediaPipe Authors)"
# Written last; a folder without it is none of ours.
MARK = "source.json"
SECONDS = 900.0
COMMAND = "stgcn pose fetch"
# What an address may hold between // and @.
SECRET = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True)
class Weights:
    """A file of weights: its place in MediaPipe's package, its size, its SHA-256."""

    member: str
    size: int
    sha256: str


WEIGHTS = {
    DETECTOR: Weights(
        f"mediapipe/modules/pose_detection/{DETECTOR}",
        2_959_046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    LANDMARKS: Weights(
        f"mediapipe/modules/pose_landmark/{LANDMARKS}",
        6_440_512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
}


@dataclass(frozen=True)
class Fetched:
    """Where the weights are.

    Attributes:
        files: name -> SHA-256.
        source: the wheel that they were taken of.
        new: False: they had been there.
    """

    folder: Path
    files: dict[str, str]
    source: str
    licence: str
    new: bool

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"folder": str(self.folder)}


def weights_folder() -> Path:
    """Where fetched weights are kept."""
    return cache_folder() / "pose" / "blazepose"


def find_weights() -> dict[str, Path]:
    """The files, checked: those in the cache, else those of an installed MediaPipe.

    Raises:
        MissingDependencyError: there are none.
        HashMismatchError: the cache holds other files.
    """
    folder = weights_folder()
    if (folder / MARK).is_file():
        return {name: _checked(folder / name, weights) for name, weights in WEIGHTS.items()}
    package = _installed()
    if package is not None:
        found = {name: package / weights.member for name, weights in WEIGHTS.items()}
        # Later versions come without them, or may come with others.
        if all(_fits(path, WEIGHTS[name]) for name, path in found.items()):
            return found
    raise MissingDependencyError(
        f"BlazePose's weights are not here; get them once (36 MB, {LICENCE}) with: {COMMAND}. "
        "Without a network: copy the wheel of mediapipe 0.10.21 here, and add --wheel FILE."
    )


def fetch(wheel: Path | None = None, *, force: bool = False) -> Fetched:
    """Put the weights into the cache, whole or not at all.

    Args:
        wheel: MediaPipe's, where the user has it; None: pip downloads it.
        force: also where they are already.

    Raises:
        MissingDependencyError: pip is not here, or cannot get the wheel.
        FileUnreadableError: the wheel cannot be read, or lacks the files.
        HashMismatchError: it holds other files under their names; nothing was written.
    """
    folder = weights_folder()
    if not force and _whole(folder):
        return _told(folder, new=False)
    if wheel is not None:
        return _unpack(wheel, folder)
    with tempfile.TemporaryDirectory(prefix="stgcn-pose-") as work:
        return _unpack(_download(Path(work)), folder)


def _whole(folder: Path) -> bool:
    return (folder / MARK).is_file() and all(
        _fits(folder / name, weights) for name, weights in WEIGHTS.items()
    )


def _told(folder: Path, *, new: bool) -> Fetched:
    """What the side file says."""
    try:
        said = json.loads((folder / MARK).read_text("utf-8"))
        source = str(said["source"])
    except (OSError, ValueError, KeyError, TypeError):
        # The files are checked by themselves; where they are from is only told.
        source = "unknown"
    files = {name: weights.sha256 for name, weights in WEIGHTS.items()}
    return Fetched(folder, files, source, LICENCE, new)


def _download(work: Path) -> Path:
    """MediaPipe's wheel, by pip and its settings."""
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *WHEEL_OF]
    argv += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", PACKAGE]
    otherwise = (
        f"Get the wheel of {PACKAGE} on a machine that can (any Python 3.9 to 3.12), and give it: "
        f"{COMMAND} --wheel FILE."
    )
    try:
        run = run_tool(argv, work, SECONDS)
    except BuildError:
        raise MissingDependencyError(
            f"pip did not get {PACKAGE} within {SECONDS:.0f} s. {otherwise}"
        ) from None
    found = sorted(work.glob("mediapipe-*.whl"))
    if run.code or len(found) != 1:
        said = SECRET.sub("", run.tail(6))
        raise MissingDependencyError(f"pip cannot get {PACKAGE}; it said:\n{said}\n{otherwise}")
    return found[0]


def _unpack(wheel: Path, folder: Path) -> Fetched:
    """The two files of a wheel into a fresh folder."""
    # All are read and checked before anything is written.
    contents = _read(wheel)
    said = {
        "source": wheel.name,
        "licence": LICENCE,
        "authors": AUTHORS,
        "files": {name: asdict(weights) for name, weights in WEIGHTS.items()},
    }
    with fresh_directory(folder, mark=MARK, force=True) as partial:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        (partial / MARK).write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    return _told(folder, new=True)


def _read(wheel: Path) -> dict[str, bytes]:
    contents = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, weights in WEIGHTS.items():
                contents[name] = _member(archive, wheel, name, weights)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise FileUnreadableError(
            f"{wheel} cannot be read as a wheel: {error}. Give that of {PACKAGE}."
        ) from None
    for name, weights in WEIGHTS.items():
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != weights.sha256:
            raise _others(wheel, name, f"SHA-256 {found}", weights)
    return contents


def _member(archive: zipfile.ZipFile, wheel: Path, name: str, weights: Weights) -> bytes:
    try:
        info = archive.getinfo(weights.member)
    except KeyError:
        raise FileUnreadableError(
            f"{wheel} has no {weights.member}: MediaPipe has no weights in its wheels since 0.10.30. "
            f"Give that of {PACKAGE}."
        ) from None
    if info.file_size != weights.size:
        raise _others(wheel, name, f"{info.file_size:,} bytes", weights)
    with archive.open(info) as file:
        return file.read(weights.size + 1)


def _others(wheel: Path, name: str, found: str, weights: Weights) -> HashMismatchError:
    return HashMismatchError(
        f"{name} in {wheel} is another file ({found}) than the one that the decoder was checked with "
        f"({weights.size:,} bytes, SHA-256 {weights.sha256}); nothing was written. Give the wheel of "
        f"{PACKAGE}."
    )


def _installed() -> Path | None:
    """The folder that MediaPipe's package is in, where it is installed; it is not imported."""
    try:
        spec = find_spec("mediapipe")
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))).parent if places else None


def _fits(path: Path, weights: Weights) -> bool:
    """Whether this is the file."""
    try:
        if path.stat().st_size != weights.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == weights.sha256
    except OSError:
        return False


def _checked(path: Path, weights: Weights) -> Path:
    if not _fits(path, weights):
        raise HashMismatchError(
            f"{path} is not the file that was fetched; get it again with: {COMMAND} --force"
        )
    return path
