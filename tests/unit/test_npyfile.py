"""Arrays read record by record, and headers that lie."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.errors import FileUnreadableError, StgcnError

SHAPE = (5, 3, 4, 2)


def _array(dtype: Any = np.float32) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=SHAPE) * 50).astype(dtype)


def _saved(folder: Path, value: Any, name: str = "a.npy") -> Path:
    np.save(folder / name, value)
    return folder / name


def _with_header(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A file with this header, written by hand."""
    text = header.encode("latin1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "u1"])
def test_records_are_those_of_the_array(tmp_path: Path, dtype: str) -> None:
    array = _array(dtype)
    file = NpyFile(_saved(tmp_path, array))
    assert (file.shape, file.ndim, len(file)) == (SHAPE, 4, 5)
    for index in range(5):
        assert np.array_equal(file.record(index), array[index])
    assert np.array_equal(file.read(), array)


def test_an_array_in_fortran_order_is_read_whole_but_not_by_record(tmp_path: Path) -> None:
    file = NpyFile(_saved(tmp_path, np.asfortranarray(_array())))
    assert np.array_equal(file.read(), _array())
    with pytest.raises(FileUnreadableError, match="ascontiguousarray"):
        file.record(0)


@pytest.mark.parametrize("value", [np.float32(3), np.zeros((0, 4), "f4"), np.zeros((3, 0), "f4")])
def test_arrays_of_one_number_or_none_are_read(tmp_path: Path, value: Any) -> None:
    found = NpyFile(_saved(tmp_path, value)).read()
    assert found.shape == np.shape(value)
    assert np.array_equal(found, value)


@pytest.mark.parametrize("index", [-1, 5])
def test_there_is_no_record_beyond_the_last(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError):
        NpyFile(_saved(tmp_path, _array())).record(index)


def test_an_array_inside_a_larger_file_is_read_from_its_place(tmp_path: Path) -> None:
    inner = _saved(tmp_path, _array()).read_bytes()
    outer = tmp_path / "outer.bin"
    outer.write_bytes(b"x" * 17 + inner + b"y" * 9)
    file = NpyFile(outer, start=17, size=len(inner), name="the part")
    assert np.array_equal(file.record(4), _array()[4])
    assert np.array_equal(file.read(), _array())
    with pytest.raises(FileUnreadableError, match="the part is cut short"):
        NpyFile(outer, start=17, size=len(inner) - 1, name="the part")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = _saved(tmp_path, _array()).read_bytes()
    cut = tmp_path / "cut.npy"
    for size in range(0, len(whole), 7):
        cut.write_bytes(whole[:size])
        with pytest.raises(FileUnreadableError, match=r"cut\.npy"):
            NpyFile(cut)


def test_a_file_that_shrinks_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path, _array())
    file = NpyFile(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileUnreadableError, match="record 4"):
        file.record(4)
    with pytest.raises(FileUnreadableError, match="ends before"):
        file.read()
    path.unlink()
    with pytest.raises(FileUnreadableError, match="cannot read"):
        file.record(0)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 'abc', }",
        "{'descr': '<f4', 'fortran_order': 'yes', 'shape': (1,), }",
        "{'descr': 'no such type', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
        "{'shape': (1,), }",
        "[1, 2]",
        "((((((((((",
        "{'descr': '''",
        "(" * 4000,
        "__import__('os').getcwd()",
        "\xff\xfe",
        "",
    ],
    ids=range(16),
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_a_header_that_is_none_or_lies_is_refused(
    tmp_path: Path, header: str, version: tuple[int, int]
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(_with_header(header + "\n", b"\0" * 64, version))
    with pytest.raises(FileUnreadableError, match=r"a\.npy"):
        NpyFile(path)


def test_versions_that_are_not_known_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    path.write_bytes(_with_header(header, b"\0" * 8, (9, 1)))
    with pytest.raises(FileUnreadableError, match="version"):
        NpyFile(path)


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    path.write_bytes(_with_header(header, np.arange(6, dtype="<f4").tobytes()))
    assert np.array_equal(NpyFile(path).record(1), [3, 4, 5])


@given(
    st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=6),
    st.integers(0, 700),
)
def test_any_header_is_read_or_refused_as_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    folder = tmp_path_factory.mktemp("npy")
    data = bytearray(_saved(folder, _array()).read_bytes())
    for place, value in changes:
        data[place] = value
    path = folder / "b.npy"
    path.write_bytes(data[:length] if length < 300 else data)
    try:
        file = NpyFile(path)
        assert prod(file.shape) * file.dtype.itemsize <= len(data)
        if file.shape and len(file):
            file.record(0)
    except StgcnError:
        pass
