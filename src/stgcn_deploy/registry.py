"""Literal tables name -> "module:attribute", resolved when asked for, with the nearest name in errors.

A table is data that one can read; importing it loads none of its members.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TypeVar, cast

from stgcn_deploy.errors import UnknownNameError

T = TypeVar("T")


def nearest(name: str, names: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: "; did you mean 'x'?", or a full stop."""
    known = list(names)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "."


class Registry(Mapping[str, T]):
    """A lazy table of one kind of thing.

    Args:
        kind: what the members are, singular, for messages ("backend").
        table: name -> "package.module:attribute".
        aliases: other spelling -> name.
    """

    def __init__(
        self, kind: str, table: Mapping[str, str], aliases: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.table = dict(table)
        self.aliases = dict(aliases or {})

    def __getitem__(self, name: str) -> T:
        """The member called `name` (or an alias of it).

        Raises:
            UnknownNameError: no such name.
        """
        key = self.aliases.get(name, name)
        if key not in self.table:
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}{nearest(name, [*self.table, *self.aliases])} "
                f"Known: {', '.join(self.table)}."
            )
        module, _, attribute = self.table[key].partition(":")
        return cast(T, getattr(import_module(module), attribute))

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, name: object) -> bool:
        return name in self.table or name in self.aliases
