"""Damage to files, as transport, other programs and ill will do it; one seed, one sequence of damage.

Bytes are flipped, cut, doubled and moved without regard to what they mean; texts get other numbers and
other lines; values (JSON, pickles, arrays) get other values where one stood, and are written again
soundly, which reaches what lies behind a parser.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["changed_json", "changed_lines", "changed_npz", "changed_pickle", "damaged", "edited"]

NUMBERS = (
    b"0", b"-1", b"1e400", b"-1e39", b"NaN", b"Infinity", b"4294967296", b"65535", b"2147483647",
    b"99999999999999999999", b"9" * 400, b"1_000", b"0x10", b"1.5", b"", b"null", b"true", b"\xd9\xa3",
)  # fmt: skip
WORDS = (
    b"\x00",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\xff\xff\xff\xff",
    b"\xef\xbb\xbf",
)
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?")


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to three faults of any kind."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_FAULTS)(rng, data)
    return data


def _flipped(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 16)) if found else 0):
        found[_place(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(found)


def _set(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 2, 8)) if found else 0):
        found[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(found)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _removed(rng: random.Random, data: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + data[start + rng.choice((1, 2, 8, 64)) :]


def _inserted(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.choice((*WORDS, *NUMBERS)) + data[at:]


def _doubled(rng: random.Random, data: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[start:end] * rng.choice((1, 1, 3)) + data[at:]


def _numbered(rng: random.Random, data: bytes) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return _set(rng, data)
    one = rng.choice(found[:40] if rng.random() < 0.5 else found)
    return data[: one.start()] + rng.choice(NUMBERS) + data[one.end() :]


def _swapped(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


_FAULTS = (_flipped, _set, _cut, _removed, _inserted, _doubled, _numbered, _numbered, _swapped)


def _place(rng: random.Random, data: bytes) -> int:
    """Half of the time among the first bytes, where headers are."""
    if not data:
        return 0
    return rng.randrange(min(len(data), 400) if rng.random() < 0.5 else len(data))


# ---- values ----------------------------------------------------------------------------------


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 65535, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0,
    1e39, 1e400, float("nan"), float("-inf"), "", "0", "1", "\x00", "../../etc/hostname", "a" * 5000,
    "\ud800", [], {}, [[]], [None], [1, [2]], [1e400] * 3, {"": None}, {"x": {}}, _nested(50),
)  # fmt: skip
ARRAYS: tuple[Any, ...] = (
    np.zeros(0), np.zeros((0, 3, 17, 2), np.float32), np.zeros((2, 0, 17, 2)), np.float64(1e300),
    np.full((1, 2, 17, 2), np.nan, np.float16), np.zeros((1, 2, 17, 3), complex), np.array("text"),
    np.array(["a", "b"]), np.full((1, 2, 17, 2), 1e300), np.zeros((1,) * 32), np.array(2**63, np.uint64),
    np.full(3, 2**63, np.uint64), np.array([-1, 2**62]), np.ones((3, 17, 3), bool), (1, 2), {1, 2},
    b"bytes", 1j, slice(1),
)  # fmt: skip


# What only pickles can say: one thing many times, and what holds itself.
_many: Any = ()
for _ in range(60):
    _many = (_many, _many)
_itself: list[Any] = []
_itself.append(_itself)
SHARED: tuple[Any, ...] = (_many, (_itself,), ({1: _itself}, _many), 10**5000)


def _copied(value: Any) -> Any:
    """Through a pickle: what copy.deepcopy makes of things that share their parts would not end."""
    return pickle.loads(pickle.dumps(value))


def edited(rng: random.Random, value: Any, odd: tuple[Any, ...] = ODD) -> Any:
    """A copy of nested dicts, lists and arrays with one to three places changed."""
    root = [_copied(value)]
    for _ in range(rng.randint(1, 3)):
        places = _places(root)
        # Half of the time near the root, where there are few places, and they mean much.
        near = [one for one in places if one[2] <= 3]
        holder, key, _ = rng.choice(near if near and rng.random() < 0.5 else places)
        _edit(rng, holder, key, odd)
    return root[0]


def _places(root: Any) -> list[tuple[Any, Any, int]]:
    """(holder, key, depth) of everything below it."""
    found, todo = [], [(root, 0)]
    while todo:
        holder, depth = todo.pop()
        for key in range(len(holder)) if isinstance(holder, list) else list(holder):
            found.append((holder, key, depth))
            if isinstance(holder[key], (list, dict)):
                todo.append((holder[key], depth + 1))
    return found


def _edit(rng: random.Random, holder: Any, key: Any, odd: tuple[Any, ...]) -> None:
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
        holder.append(None) if isinstance(holder, list) and not holder else None
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, _copied(holder[key]))
    elif kind == 2 and isinstance(holder, dict):
        holder[rng.choice(("", "x", "name", "data", 7, None))] = holder.pop(key)
    elif kind == 3 and isinstance(holder[key], np.ndarray) and holder[key].size:
        holder[key] = _reshaped(rng, holder[key])
    else:
        holder[key] = _copied(rng.choice(odd))


def _reshaped(rng: random.Random, value: Any) -> Any:
    """The same numbers, wrong."""
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda a: a[None], lambda a: a[0], lambda a: a[:-1], lambda a: a.T, lambda a: a.astype("U8"),
        lambda a: a.astype(complex), lambda a: a.astype(">i2"), lambda a: a * np.nan, lambda a: -a,
        lambda a: a.astype(np.float64) * 1e300, lambda a: np.repeat(a, 40, axis=0),
        np.asfortranarray, lambda a: a.astype("M8[s]"),
    )  # fmt: skip
    with np.errstate(all="ignore"):
        try:
            return rng.choice(changes)(value)
        except (TypeError, ValueError, IndexError):
            return np.zeros(0, value.dtype)


def changed_json(rng: random.Random, data: bytes) -> bytes:
    """A JSON text with other values in it."""
    return json.dumps(edited(rng, json.loads(data)), skipkeys=True).encode()


def changed_lines(rng: random.Random, data: bytes) -> bytes:
    """Lines of JSON, one of them with other values in it."""
    rows = data.splitlines()
    at = rng.randrange(min(2, len(rows)) if rng.random() < 0.3 else len(rows))
    rows[at] = changed_json(rng, rows[at])
    return b"\n".join(rows)


def changed_pickle(rng: random.Random, data: bytes) -> bytes:
    """A pickle with other values in it, in any protocol."""
    value = pickle.loads(data)
    pair = isinstance(value, tuple)
    found = edited(rng, list(value) if pair else value, ODD + ARRAYS + SHARED)
    if pair and isinstance(found, list) and rng.random() < 0.8:
        found = tuple(found)
    try:
        return pickle.dumps(found, rng.choice((0, 2, 4, 5)))
    except ValueError:  # numbers that protocol 0 would have to write out
        return pickle.dumps(found, 2)


def changed_npz(rng: random.Random, data: bytes) -> bytes:
    """A zip file of arrays, one of them damaged or another one, with the sums that belong to it."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(sorted(members))
    if rng.random() < 0.5:
        members[name] = damaged(rng, members[name])
    else:
        raw = io.BytesIO()
        values = edited(rng, [np.load(io.BytesIO(members[name]))], (*ODD[:16], *ARRAYS[:13]))
        np.save(raw, np.asarray(values[0] if isinstance(values, list) and values else 0.0))
        members[name] = raw.getvalue()
    if rng.random() < 0.1:
        members[rng.choice(("x", "x_test.npy", "../up.npy"))] = members.pop(name)
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as file:
        for key, content in members.items():
            file.writestr(key, content)
    return out.getvalue()
