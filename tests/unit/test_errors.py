"""The exception tree: one root, exit codes by kind, and the line that installs what is missing."""

from __future__ import annotations

import inspect

import pytest

from stgcn_deploy import errors
from stgcn_deploy.errors import MissingDependencyError, StgcnError, requires

EXIT_CODES = {
    "StgcnError": 2,
    "UsageError": 2,
    "UnknownNameError": 2,
    "ClipError": 2,
    "OutputExistsError": 2,
    "FileUnreadableError": 2,
    "DataError": 2,
    "CheckpointError": 2,
    "UnsafeFileError": 2,
    "UnrecognisedCheckpointError": 2,
    "UnsupportedCheckpointError": 2,
    "KeyMismatchError": 2,
    "BuildError": 1,
    "ExportError": 2,
    "BundleError": 2,
    "ManifestError": 2,
    "HashMismatchError": 2,
    "CheckFailedError": 1,
    "MissingDependencyError": 3,
    "BackendError": 3,
}


def _classes() -> dict[str, type[StgcnError]]:
    return {
        name: found
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, Exception)
    }


def test_every_error_has_the_exit_code_on_record() -> None:
    assert {name: found.exit_code for name, found in _classes().items()} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_error_is_public_documented_and_drawn_in_the_tree(name: str) -> None:
    assert name in errors.__all__
    assert _classes()[name].__doc__
    assert name in (errors.__doc__ or "")
    assert issubclass(_classes()[name], StgcnError)


def test_no_error_is_confused_with_an_error_of_python() -> None:
    bases = {base for found in _classes().values() for base in found.__mro__}
    assert bases - set(_classes().values()) == {Exception, BaseException, object}


def test_a_failed_import_names_the_library_and_the_line_that_installs_it() -> None:
    with (
        pytest.raises(MissingDependencyError, match="weighing needs no_such_library") as caught,
        requires("weighing", "pip install scales"),
    ):
        import no_such_library  # noqa: F401
    assert "pip install scales" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


def test_an_import_error_without_a_name_still_says_what_happened() -> None:
    with (
        pytest.raises(MissingDependencyError, match=r"libfoo\.so is missing"),
        requires("weighing", "pip install scales"),
    ):
        raise ImportError("libfoo.so is missing")


def test_other_errors_pass_through_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), requires("weighing", "pip install scales"):
        _ = 1 / 0
