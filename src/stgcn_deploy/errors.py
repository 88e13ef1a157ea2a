"""One exception tree; every message says what happened, what was expected and what to do.

    StgcnError
    |- UsageError                 wrong arguments                                  exit 2
    |  |- UnknownNameError        a name that no table holds (nearest name given)  exit 2
    |  `- ClipError               a clip that the bundle cannot take               exit 2
    |- OutputExistsError          nothing of the user's is overwritten             exit 2
    |- FileUnreadableError        missing, unreadable or truncated file            exit 2
    |- DataError                  a data set, or a record of it, that is wrong     exit 2
    |- CheckpointError            a file that cannot become a network              exit 2
    |  |- UnsafeFileError         would run foreign code when read
    |  |- UnrecognisedCheckpointError
    |  |- UnsupportedCheckpointError   recognised, but not supported: the reason is named
    |  `- KeyMismatchError        missing or unknown tensors
    |- ExportError                the graph could not be written as asked          exit 2
    |- BundleError                a damaged or foreign bundle                      exit 2
    |  |- ManifestError
    |  `- HashMismatchError
    |- CheckFailedError           a check ran and its verdict is no                exit 1
    |- BuildError                 a vendor's tool ran and failed, or built less than asked  exit 1
    `- MissingDependencyError     a runtime, library or device is absent here      exit 3
       `- BackendError            the runtime itself failed                        exit 3

Anything else that escapes is a bug and leaves with its trace and exit code 70.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BackendError",
    "BuildError",
    "BundleError",
    "CheckFailedError",
    "CheckpointError",
    "ClipError",
    "DataError",
    "ExportError",
    "FileUnreadableError",
    "HashMismatchError",
    "KeyMismatchError",
    "ManifestError",
    "MissingDependencyError",
    "OutputExistsError",
    "StgcnError",
    "UnknownNameError",
    "UnrecognisedCheckpointError",
    "UnsafeFileError",
    "UnsupportedCheckpointError",
    "UsageError",
    "requires",
]


class StgcnError(Exception):
    """Base of every error that a user can cause; shown without a trace."""

    exit_code = 2


class UsageError(StgcnError):
    """The call itself is wrong."""


class UnknownNameError(UsageError):
    """A name that is in no table."""


class ClipError(UsageError):
    """A clip whose shape, dtype or values the bundle cannot take."""


class OutputExistsError(StgcnError):
    """The output is there already and overwriting was not asked for."""


class FileUnreadableError(StgcnError):
    """A file is missing, unreadable, empty or cut short."""


class DataError(StgcnError):
    """A data set, or one record of it, is damaged or not what it should be; it is named."""


class CheckpointError(StgcnError):
    """A file that cannot be turned into a network."""


class UnsafeFileError(CheckpointError):
    """Reading the file would run code that it brings along."""


class UnrecognisedCheckpointError(CheckpointError):
    """The tensors belong to no codebase of the family."""


class UnsupportedCheckpointError(CheckpointError):
    """The codebase is recognised, but this network of it is not supported."""


class KeyMismatchError(CheckpointError):
    """Tensors are missing, unknown, or of the wrong shape."""


class ExportError(StgcnError):
    """The graph could not be written as asked."""


class BundleError(StgcnError):
    """A directory that is no valid bundle."""


class ManifestError(BundleError):
    """manifest.json is missing, malformed, or of another schema."""


class HashMismatchError(BundleError):
    """A file of the bundle is not the one that was written."""


class CheckFailedError(StgcnError):
    """A check ran and failed."""

    exit_code = 1


class BuildError(StgcnError):
    """A vendor's tool ran and failed, or built another precision than was asked for."""

    exit_code = 1


class MissingDependencyError(StgcnError):
    """A runtime, library or device that is not here."""

    exit_code = 3


class BackendError(MissingDependencyError):
    """The runtime refused or broke."""


@contextmanager
def requires(what: str, install: str) -> Iterator[None]:
    """Turn an ImportError inside the block into the exact line that installs what is missing.

    Args:
        what: what needs the library, as a phrase ("exporting a checkpoint").
        install: the shell line that installs it.

    Raises:
        MissingDependencyError: the import failed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} needs {error.name or error}, which is not installed here; install it with: "
            f"{install}"
        ) from error
