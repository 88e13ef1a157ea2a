"""A YAML file as plain values, with what the environment fills in, and the line of everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import FileUnreadableError, UsageError, requires

__all__ = ["INSTALL", "Document", "place_of", "read_document"]

INSTALL = 'pip install "stgcn-deploy[live]"'
MAX_BYTES = 1 << 20
# With aliases written out: a few hundred bytes of them can stand for billions of values.
MAX_VALUES = 50_000
MAX_DEPTH = 16
Place = tuple["str | int", ...]

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
# $${ stands for ${ itself; a ${ without a name is an error.
_REFERENCE = re.compile(rf"\$\$\{{|\$\{{(?:{_NAME}(?::-(?P<default>[^}}]*))?\}})?")
_QUOTED = re.compile(r"""(?s)'[^']*'|"[^"]*"|['"].*""")


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes:
        value: its mapping, strings filled from the environment.
        lines: place -> line, counted from 1.
        filled: places of strings that the environment had a part in.
    """

    value: dict[str, Any]
    lines: Mapping[Place, int]
    filled: frozenset[Place]


def place_of(place: Place) -> str:
    """As one would write it: cameras[2].source."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).lstrip(".")


def read_document(path: Path, *, environ: Mapping[str, str]) -> Document:
    """Read a YAML file; messages name places and lines, and never a value of it.

    Raises:
        FileUnreadableError: it is missing, too large, or no text.
        UsageError: it is no YAML mapping, names a key twice, or needs a variable that is not set.
        MissingDependencyError: PyYAML is not installed.
    """
    with requires("reading a configuration", INSTALL):
        import yaml
    text = _text(path)
    walk = _Walk(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{path} is empty, expected a mapping with bundle and cameras.")
        walk.visit(node, (), 0)
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: this is no YAML: {_problem(error.problem)}.") from None
    except yaml.YAMLError:
        raise UsageError(f"{path} is no YAML: it holds control characters.") from None
    except RecursionError:
        raise UsageError(f"{path} is nested deeper than {MAX_DEPTH} levels.") from None
    except (ValueError, OverflowError):
        raise UsageError(
            f"{path} holds something like a number or a date that is none; put it in quotes."
        ) from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} is no mapping; expected bundle, cameras, ... with a colon each.")
    fill = _Fill(environ)
    filled = fill.value(value, ())
    fill.complain(path, walk.lines)
    return Document(filled, walk.lines, frozenset(fill.places))


def _problem(text: str | None) -> str:
    """PyYAML's words up to where they quote the file; it quotes punctuation and kinds of tokens, too."""
    for quoted in _QUOTED.finditer(text or "a mistake"):
        if re.search(r"\w", re.sub(r"<[a-z ]+>", "", quoted[0])):
            return (text or "")[: quoted.start()].rstrip()
    return text or "a mistake"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise FileUnreadableError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB; that is no configuration."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileUnreadableError(f"{path} is no UTF-8 text.") from None


class _Walk:
    """Looks at the nodes before anything is made of them.

    Attributes:
        lines: place -> line.
    """

    def __init__(self, path: Path) -> None:
        self.lines: dict[Place, int] = {}
        self._path = path
        self._left = MAX_VALUES

    def visit(self, node: Any, place: Place, depth: int) -> None:
        """A node and all below it, aliases as often as they are used."""
        self._left -= 1
        line = node.start_mark.line + 1
        if self._left < 0:
            raise UsageError(
                f"{self._path}, line {line}: more than {MAX_VALUES} values, aliases written out; "
                "that is no configuration."
            )
        if depth > MAX_DEPTH:
            raise UsageError(
                f"{self._path}, line {line}: nested deeper than {MAX_DEPTH} levels, or an alias of "
                "itself."
            )
        self.lines.setdefault(place, line)
        if node.id == "sequence":
            for index, one in enumerate(node.value):
                self.visit(one, (*place, index), depth + 1)
        elif node.id == "mapping":
            self._mapping(node, place, depth)

    def _mapping(self, node: Any, place: Place, depth: int) -> None:
        seen: dict[str, int] = {}
        merged = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                merged.append(value)
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise UsageError(
                    f"{self._path}, line {line}: a key is no text; put it in quotes where it looks "
                    "like a number, a date, or yes and no."
                )
            inner = (*place, key.value)
            if key.value in seen:
                raise UsageError(
                    f"{self._path}, line {line}: {place_of(inner)} is set twice, first in line "
                    f"{seen[key.value]}; leave one of them."
                )
            seen[key.value] = self.lines[inner] = line
            self.visit(value, inner, depth + 1)
        # After what is written out, whose lines they do not take.
        for value in merged:
            for one in value.value if value.id == "sequence" else [value]:
                self.visit(one, place, depth + 1)


class _Fill:
    """Puts the environment into strings.

    Attributes:
        places: of the strings that it had a part in.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.places: list[Place] = []
        self._environ = environ
        self._missing: list[tuple[Place, str]] = []

    def value(self, value: Any, place: Place) -> Any:
        """The same with its strings filled; one that becomes empty by that is not set at all."""
        if isinstance(value, dict):
            return {key: self.value(one, (*place, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, (*place, index)) for index, one in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        filled = _REFERENCE.sub(lambda found: self._one(found, place), value)
        return filled or None

    def _one(self, found: re.Match[str], place: Place) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        self.places.append(place)
        if name is None:
            self._missing.append((place, ""))
            return ""
        given = self._environ.get(name)
        if default is not None:
            return given or default
        if given is None:
            self._missing.append((place, name))
        return given or ""

    def complain(self, path: Path, lines: Mapping[Place, int]) -> None:
        """Tell all variables that are missing at once.

        Raises:
            UsageError: one is.
        """
        texts = []
        for place, name in self._missing:
            where = f"{place_of(place)} (line {lines.get(place, 1)})"
            if name:
                texts.append(
                    f"{where} needs the environment variable {name}, which is not set; set it, or "
                    f"write ${{{name}:-DEFAULT}}"
                )
            else:
                texts.append(
                    f"{where} has a ${{ without a name; write ${{NAME}} or ${{NAME:-DEFAULT}}, and "
                    "$${ for the characters themselves"
                )
        if texts:
            raise UsageError(f"{path}: " + "; ".join(texts) + ".")
