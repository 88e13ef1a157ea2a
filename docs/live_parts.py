"""What docs/live-config.md shows of a live run's settings, read from their classes and docstrings."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

__all__ = ["Group", "Row", "groups", "meanings"]

_NAMES = re.compile(r"([a-z_0-9]+(?:, [a-z_0-9]+)*): (.*)", re.DOTALL)
# How YAML says what docstrings say in Python's words.
_IN_YAML = {"None": "left out:", "False": "false:"}


@dataclass(frozen=True)
class Row:
    """One setting; `usual` is its default, None where it has to be given."""

    name: str
    kind: str
    usual: str | None
    meaning: str


@dataclass(frozen=True)
class Group:
    """Settings that stand together in a file.

    Attributes:
        title: how they are written there: "windows", "cameras[]", "sinks[], kind: mqtt".
        about: first paragraph of the docstring.
    """

    title: str
    about: str
    rows: tuple[Row, ...]


def groups() -> Iterator[Group]:
    """All settings of a file, in its order."""
    from stgcn_deploy.live.settings import LiveSettings

    yield _group("", LiveSettings)
    for name, field in LiveSettings.model_fields.items():
        inner = list(_models(field.annotation))
        many = typing.get_origin(field.annotation) is tuple
        for model in inner:
            title = f"{name}[]" if many else name
            if len(inner) > 1:
                title += f", kind: {model.model_fields['kind'].default}"
            yield _group(title, model)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> its text under "Attributes:"; one text may be that of several."""
    lines = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for item in re.split(r"\n(?=    \S)", "\n" + lines):
        match = _NAMES.fullmatch(" ".join(item.split()))
        if match:
            text = re.sub(r"\b(None|False):", lambda one: _IN_YAML[one[1]], match[2])
            text = text if text.endswith("...") else text.removesuffix(".")
            found |= dict.fromkeys(match[1].split(", "), text)
    return found


def _group(title: str, model: type[BaseModel]) -> Group:
    """Raises SystemExit where a field has no text, or a text no field."""
    texts, schema = meanings(model), model.model_json_schema()
    nested = {name for name, one in model.model_fields.items() if any(_models(one.annotation))}
    shown = [name for name in model.model_fields if name not in nested | {"kind"}]
    wrong = set(shown) ^ (set(texts) - nested)
    if wrong:
        raise SystemExit(f"{model.__name__}: docstring and fields disagree about {sorted(wrong)}")
    rows = tuple(
        Row(
            name,
            _kind(schema["properties"][name]),
            None if model.model_fields[name].is_required() else _usual(model.model_fields[name]),
            texts[name],
        )
        for name in shown
    )
    return Group(title, inspect.cleandoc(model.__doc__ or "").partition("\n")[0], rows)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _usual(field: Any) -> str:
    value = field.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(schema: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}s"
    name = {"string": "text", "boolean": "true or false", "integer": "whole number"}.get(
        schema["type"], "number"
    )
    bounds = [
        f"{words} {schema[key]:g}"
        for key, words in (
            ("exclusiveMinimum", "above"),
            ("minimum", "from"),
            ("maximum", "to"),
        )
        if key in schema
    ]
    return " ".join([name, *bounds])
