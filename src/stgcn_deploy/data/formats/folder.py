"""A folder with one recording in each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stgcn_deploy.errors import DataError, FileUnreadableError

__all__ = ["named", "recordings"]


def named(folder: Path, suffix: str) -> Iterator[Path]:
    """Files of a folder by their ending, in no order; hidden ones are passed over.

    Raises:
        OSError: it cannot be read.
    """
    for file in folder.iterdir():
        if file.name.endswith(suffix) and not file.name.startswith("."):
            yield file


def recordings(path: Path, suffix: str) -> list[Path]:
    """Files of a folder in the order of their names; or the one file.

    Raises:
        FileUnreadableError: the folder cannot be read.
        DataError: it has no such file.
    """
    if not path.is_dir():
        return [path]
    try:
        files = sorted(named(path, suffix))
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if not files:
        raise DataError(f"{path} holds no {suffix} file.")
    return files
