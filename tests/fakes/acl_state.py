"""What the stand-in for pyACL knows (acl.py): what is alive, what was called, what is to fail."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SUCCESS, INVALID_PARAM, UNINITIALISED, REPEATED, PARSE_MODEL = 0, 100000, 100001, 100002, 100013
DESERIALISE, INPUT_NOT_MATCH, OUTPUT_NOT_MATCH, NOT_DYNAMIC = 100012, 100017, 100018, 100019
FINALISED, DEVICE_ID, NO_CONTEXT, MODEL_CONTEXT = 100037, 107001, 107002, 107004
NO_SUCH_PATH, NO_SUCH_GEAR, NO_MEMORY, FAILED = 145002, 145013, 207001, 507011
INTERNAL = 500000


class Misuse(AssertionError):
    """The program did what the documentation forbids."""


@dataclass
class Memory:
    """Bytes on one side; the content of new memory is not zero."""

    side: str
    size: int
    data: Any

    @property
    def bytes(self) -> memoryview:
        return memoryview(self.data).cast("B")


@dataclass
class Context:
    device: int


@dataclass
class Model:
    context: int
    session: Any
    meta: dict[str, Any]
    gear: int | None = None
    executions: int = 0


@dataclass
class Desc:
    model: int | None = None


@dataclass
class Buffer:
    address: int
    size: int


@dataclass
class Dataset:
    buffers: list[int] = field(default_factory=list)
    gear: int | None = None


class StandIn:
    """All that lives, what was called, and what is to fail."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """A new process, as far as pyACL knows."""
        self.soc, self.devices, self.run_mode = "Ascend310P3", 1, 1
        self.state = "new"
        self.misuse: list[str] = []
        self.calls: list[str] = []
        self.counts: Counter[str] = Counter()
        self.keep_calls = True
        # The number of the call (from 1) that fails, and how: with a code, or an exception.
        self.fail_at: int | None = None
        self.fail_with: int | BaseException = FAILED
        self.free_memory: int | None = None
        self.alive: dict[int, Any] = {}
        self.dead: dict[int, str] = {}
        self.device_uses: Counter[int] = Counter()
        self.thread = threading.local()
        self.words = threading.local()
        self._numbers = itertools.count(0x1000, 0x10)
        self._addresses = itertools.count(0x6000_0000_0000, 0x1000_0000)

    # ---- handles ---------------------------------------------------------------------------------

    def wrong(self, text: str) -> Misuse:
        self.misuse.append(text)
        return Misuse(text)

    def too_early(self, text: str) -> int:
        """Released before what holds on to it: misuse, unless a release before it was made to fail."""
        if self.fail_at is not None and sum(self.counts.values()) > self.fail_at:
            return self.fail(INTERNAL, text)
        raise self.wrong(text)

    def new(self, thing: Any, number: int | None = None) -> int:
        number = next(self._numbers) if number is None else number
        self.dead.pop(number, None)
        self.alive[number] = thing
        return number

    def get(self, number: object, kind: type, call: str) -> Any:
        if type(number) is not int:
            raise self.wrong(f"{call}: {number!r} is no handle")
        if number in self.dead:
            raise self.wrong(f"{call}: {self.dead[number]} {number:#x} was released before")
        found = self.alive.get(number)
        if type(found) is not kind:
            has = type(found).__name__ if found is not None else "nothing"
            raise self.wrong(f"{call}: {number!r} is {has}, expected {kind.__name__}")
        return found

    def drop(self, number: int, kind: type, call: str) -> Any:
        found = self.get(number, kind, call)
        del self.alive[number]
        self.dead[number] = kind.__name__
        return found

    def leaks(self) -> dict[str, int]:
        """How many of each kind are alive, devices included."""
        found = Counter(
            f"{thing.side} memory" if isinstance(thing, Memory) else type(thing).__name__
            for thing in self.alive.values()
        )
        found["device"] = sum(self.device_uses.values())
        return {kind: number for kind, number in found.items() if number}

    def context(self, call: str) -> int | None:
        """The calling thread's."""
        number = getattr(self.thread, "context", None)
        if number is not None and number in self.dead:
            raise self.wrong(f"{call}: the thread's context {number:#x} was destroyed")
        return number

    def fail(self, code: int, words: str) -> int:
        self.words.text = words
        return code


stand_in = StandIn()


Result = Callable[[int], Any]
CODE: Result = lambda code: code  # noqa: E731
PAIR: Result = lambda code: (0, code)  # noqa: E731
NOTHING: Result = lambda code: 0  # noqa: E731


def _typed(name: str, arguments: tuple[object, ...], kinds: tuple[type, ...], least: int) -> None:
    if not least <= len(arguments) <= len(kinds):
        raise stand_in.wrong(
            f"{name} takes {least} to {len(kinds)} arguments, got {len(arguments)}"
        )
    for argument, kind in zip(arguments, kinds, strict=False):
        if type(argument) is not kind:
            raise stand_in.wrong(f"{name}: {argument!r} is no {kind.__name__}")
        if kind is int and not -1 <= argument < 1 << 64:  # type: ignore[operator]
            raise stand_in.wrong(f"{name}: {argument!r} does not fit 64 bits")


def call(
    name: str, failed: Result, *kinds: type, least: int | None = None, early: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One function of pyACL: counted, its arguments checked, failing where it is told to.

    Args:
        failed: what it returns where it fails with a code.
        early: whether it may come before acl.init.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def checked(*arguments: object) -> Any:
            with stand_in.lock:
                stand_in.counts[name] += 1
                if stand_in.keep_calls:
                    stand_in.calls.append(name)
                _typed(name, arguments, kinds, len(kinds) if least is None else least)
                if stand_in.fail_at == sum(stand_in.counts.values()):
                    if isinstance(stand_in.fail_with, BaseException):
                        raise stand_in.fail_with
                    return failed(
                        stand_in.fail(stand_in.fail_with, f"EZ9999: {name} was told to fail")
                    )
                if stand_in.state != "running" and not early:
                    return failed(stand_in.fail(UNINITIALISED, "acl.init first"))
                return function(*arguments)

        return checked

    return decorate
