"""Lazy tables of names, and the nearest name in their errors."""

from __future__ import annotations

import collections
import sys

import pytest

from stgcn_deploy.errors import UnknownNameError
from stgcn_deploy.registry import Registry, nearest

TABLE = {
    "ordered": "collections:OrderedDict",
    "counter": "collections:Counter",
    "broken": "no_such_package.module:THING",
}


def _registry() -> Registry[object]:
    return Registry("container", TABLE, aliases={"odict": "ordered"})


def test_a_name_gives_the_object_it_stands_for() -> None:
    assert _registry()["ordered"] is collections.OrderedDict


def test_an_alias_gives_the_same_object() -> None:
    assert _registry()["odict"] is collections.OrderedDict


def test_members_are_imported_only_when_asked_for() -> None:
    sys.modules.pop("this", None)
    Registry("poem", {"zen": "this:s"})
    assert "this" not in sys.modules


def test_a_member_that_cannot_be_imported_fails_when_asked_for() -> None:
    registry = _registry()
    assert "broken" in registry
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        registry["broken"]


def test_an_unknown_name_is_refused_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        _registry()["conter"]
    message = str(caught.value)
    assert "unknown container 'conter'" in message
    assert "did you mean 'counter'?" in message
    assert "Known: ordered, counter, broken." in message


def test_a_name_like_no_other_is_refused_in_whole_sentences() -> None:
    with pytest.raises(UnknownNameError) as caught:
        _registry()["zzzzzzz"]
    message = str(caught.value)
    assert "did you mean" not in message
    assert "'zzzzzzz'. Known:" in message


def test_names_are_listed_without_their_aliases_in_the_order_of_the_table() -> None:
    registry = _registry()
    assert list(registry) == list(TABLE)
    assert len(registry) == len(TABLE)
    assert "odict" in registry
    assert "nothing" not in registry
    assert 7 not in registry


def test_items_are_the_members_themselves() -> None:
    registry: Registry[object] = Registry("container", {"counter": "collections:Counter"})
    assert list(registry.items()) == [("counter", collections.Counter)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("openpos18", "; did you mean 'openpose18'?"),
        ("OPENPOSE18", "; did you mean 'openpose18'?"),
        ("qqqq", ""),
        ("", ""),
    ],
)
def test_nearest_name_ignores_case_and_stays_silent_when_none_is_near(
    given: str, wanted: str
) -> None:
    assert nearest(given, ["openpose18", "ntu25"]).startswith(wanted)
    assert bool(nearest(given, ["openpose18", "ntu25"]).strip(". ")) == bool(wanted)


def test_nearest_of_nothing_is_silent() -> None:
    assert not nearest("anything", []).strip(". ")
