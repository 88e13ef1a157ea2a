"""What pydantic finds wrong with settings, told so that one can mend it, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from stgcn_deploy.errors import UsageError
from stgcn_deploy.live.checked import CONFLICT, EXPECTED
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import LiveSettings
from stgcn_deploy.live.yamlfile import Place, place_of
from stgcn_deploy.registry import nearest

__all__ = ["HIDDEN_FIELDS", "complaint"]

# Fields whose values are never shown, besides those that `repr` leaves out: addresses may hold a login.
HIDDEN_FIELDS = frozenset({"source", "url"})
# So many at once; the rest shows when these are mended.
MOST = 8

# Type of pydantic's error -> what was expected; names in braces are of its context.
_EXPECTED = {
    EXPECTED: "{words}",
    "string_type": "a text; put it in quotes where it looks like a number, a date, or yes and no",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "tuple_type": "a list",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number from {ge:g} on",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number up to {le:g}",
    "string_too_short": "{min_length} or more characters",
    "too_short": "{min_length} or more",
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text"),
    (dict, "a mapping"), (list, "a list"), (tuple, "a list"), (type(None), "empty"),
)  # fmt: skip


def complaint(
    error: ValidationError,
    value: Any,
    *,
    where: str = "",
    lines: Mapping[Place, int] | None = None,
    filled: Collection[Place] = (),
) -> UsageError:
    """The error of ours for settings that are not valid.

    Args:
        value: what was checked, as LiveSettings takes it.
        where: the file, or nothing for options.
        lines: of places in it.
        filled: places whose values came from the environment, and are not shown.
    """
    found = error.errors(include_url=False, include_input=False)
    # Of a list whose entries are wrong, pydantic says that it is too short as well.
    places = [one["loc"] for one in found]
    found = [
        one
        for one, place in zip(found, places, strict=True)
        if one["type"] != "too_short"
        or not any(len(a) > len(place) for a in places if a[: len(place)] == place)
    ]
    texts = []
    for one in found[:MOST]:
        spot = _spot(one["loc"])
        line = _line(spot.place, lines or {})
        told = _told(one["type"], one["msg"], one.get("ctx", {}), spot, value, filled)
        texts.append(f"line {line}: {told}" if line else told)
    if len(found) > len(texts):
        texts.append(f"and {len(found) - len(texts)} more")
    if len(texts) == 1:
        return UsageError(f"{', '.join(filter(None, (where, texts[0])))}.")
    head = f"{where or 'the settings'}: {len(found)} mistakes"
    return UsageError("\n  ".join([head, *texts]))


@dataclass(frozen=True)
class _Spot:
    """Where an error is.

    Attributes:
        owner: the settings that the last key of the place belongs to, or would.
    """

    place: Place
    owner: type[BaseModel]

    @property
    def key(self) -> str:
        """The last key."""
        return next((part for part in reversed(self.place) if isinstance(part, str)), "")

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        field = self.owner.model_fields.get(self.key)
        return self.key in HIDDEN_FIELDS or (field is not None and not field.repr)


def _spot(loc: Sequence[str | int]) -> _Spot:
    """Pydantic puts the kind of a sink into the place, which is in no file."""
    place: list[str | int] = []
    owner: type[BaseModel] = LiveSettings
    inner: list[type[BaseModel]] = [LiveSettings]
    for part in loc:
        if isinstance(part, str) and len(inner) > 1:
            inner = [one for one in inner if one.model_fields["kind"].default == part]
            continue
        place.append(part)
        if isinstance(part, str) and inner:
            owner = inner[0]
            field = owner.model_fields.get(part)
            inner = list(_models(field.annotation)) if field else []
    return _Spot(tuple(place), owner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _line(place: Place, lines: Mapping[Place, int]) -> int | None:
    """Of the place, or of what it would be in."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place) if place else None


def _told(
    kind: str,
    words: str,
    context: Mapping[str, Any],
    spot: _Spot,
    value: Any,
    filled: Collection[Place],
) -> str:
    name = place_of(spot.place)
    if kind == "extra_forbidden":
        return _unknown(spot)
    if kind == "missing":
        return f"{name} is missing"
    if kind == CONFLICT:
        return f"{name}: {words}" if name else words
    if kind.startswith("union_tag"):
        kinds = [one.model_fields["kind"].default for one in _models(_SINKS)]
        context = {"expected": "one of " + ", ".join(map(json.dumps, kinds))}
        spot = _Spot((*spot.place, "kind"), spot.owner)
        name = place_of(spot.place)
        if kind == "union_tag_not_found":
            return f"{name} is missing, expected {context['expected']}"
        kind = "literal_error"
    if kind not in _EXPECTED:
        return f"{name}: {words[:1].lower()}{words[1:]}"
    expected = _EXPECTED[kind].format(**context)
    return f"{name} is {_found(value, spot, kind, filled)}, expected {expected}"


def _unknown(spot: _Spot) -> str:
    """An unknown key, with those that are known beside it."""
    known = list(spot.owner.model_fields)
    before = place_of(spot.place[:-1])
    key = redact(spot.key)[:60]
    place = f"{before}: " if before else ""
    return f"{place}unknown key {key!r}{nearest(spot.key, known)} Known: {', '.join(known)}"


def _found(value: Any, spot: _Spot, kind: str, filled: Collection[Place]) -> str:
    """What stands at a place, or only what kind of thing, where it may be secret."""
    for part in spot.place:
        value = value[part]
    name = next((name for type_, name in _KINDS if isinstance(value, type_)), "a date")
    if spot.place in filled:
        return f"{name} from the environment"
    shown = kind.endswith(("_parsing", "_error", "_equal", "_than", EXPECTED))
    if isinstance(value, bool) or value is None:
        return json.dumps(value) if value is not None else name
    if spot.is_secret or not isinstance(value, (int, float, str)):
        return name
    if isinstance(value, str):
        return json.dumps(redact(value)[:60], ensure_ascii=False) if shown else name
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]


_SINKS = LiveSettings.model_fields["sinks"].annotation
