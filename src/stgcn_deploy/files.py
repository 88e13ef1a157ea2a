"""Output that is whole or not there: written beside its place, then renamed; never over the user's."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stgcn_deploy.errors import OutputExistsError, UsageError

__all__ = ["cache_folder", "fresh_directory", "fresh_file", "refuse_existing", "write_text"]


def cache_folder() -> Path:
    """What may be lost and is only kept to save time: $XDG_CACHE_HOME or the system's usual place."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    if base:
        return Path(base) / "stgcn-deploy"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "stgcn-deploy"
    return Path.home() / ".cache" / "stgcn-deploy"


@contextmanager
def fresh_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A file to fill, renamed to `path` when the block ends well, else removed.

    Raises:
        OutputExistsError: `path` is there and `force` is not given, or it is a directory.
        UsageError: the place cannot be written.
    """
    if path.is_dir():
        raise OutputExistsError(f"{path} is a directory; name a file.")
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists; choose another name, or replace it with --force.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror} ({error.filename}).") from None
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        # mkstemp keeps files to their owner; a report is for others too.
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, force: bool = False) -> Path:
    """Write UTF-8 text, whole or not at all.

    Raises:
        OutputExistsError, UsageError: see fresh_file.
    """
    with fresh_file(path, force=force) as partial:
        partial.write_bytes(text.encode("utf-8"))
    return path


def refuse_existing(*paths: Path | None, force: bool = False) -> None:
    """Say before long work that a report would replace a file; None stands for no report.

    Raises:
        OutputExistsError: one of them is there and `force` is not given.
    """
    for path in paths:
        if path is not None and path.exists() and not force:
            raise OutputExistsError(f"{path} exists; replace it with --force.")


@contextmanager
def fresh_directory(target: Path, *, mark: str, force: bool = False) -> Iterator[Path]:
    """A directory to fill, renamed to `target` when the block ends well, else removed.

    Args:
        mark: the file by which a directory of ours is known; others are never replaced.

    Raises:
        OutputExistsError: `target` is there and `force` is not given, or it holds other things.
        UsageError: the place cannot be written.
    """
    if target.exists() and not force:
        raise OutputExistsError(f"{target} exists; choose another -o, or replace it with --force.")
    if (
        target.exists()
        and not (target / mark).is_file()
        and (not target.is_dir() or any(target.iterdir()))
    ):
        raise OutputExistsError(
            f"{target} exists and holds other files than ours (no {mark}); --force does not remove "
            "them. Choose another -o."
        )
    if target.is_symlink():
        raise OutputExistsError(f"{target} is a link; name the directory itself.")
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror} ({error.filename}).") from None
    try:
        partial.chmod(0o755)
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in made:  # innermost first; one that is not empty is somebody else's by now
            with suppress(OSError):
                folder.rmdir()
        raise
