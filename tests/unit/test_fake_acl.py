"""The stand-in for pyACL notices what it is there to notice: each rule broken once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from npu import FAKES
from oms import make_om

ROWS = 3 * 20 * 18 * 2


@pytest.fixture
def acl(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The stand-in, initialised, device 0 set and a context made."""
    monkeypatch.syspath_prepend(str(FAKES))
    import acl

    acl.stand_in.reset()
    assert acl.init() == 0
    yield acl
    acl.stand_in.reset()
    for name in ("acl", "acl_state", "om"):
        sys.modules.pop(name, None)


@pytest.fixture
def context(acl: Any) -> int:
    assert acl.rt.set_device(0) == 0
    number, code = acl.rt.create_context(0)
    assert code == 0
    return number


@pytest.fixture
def loaded(acl: Any, context: int, example: Callable[..., Any], tmp_path: Path) -> SimpleNamespace:
    """A model with its datasets."""
    bundle = example(dynamic="batch").bundle
    model, code = acl.mdl.load_from_file(str(make_om(bundle, tmp_path / "m.om")))
    assert code == 0
    desc = acl.mdl.create_desc()
    assert acl.mdl.get_desc(desc, model) == 0
    found = SimpleNamespace(model=model, desc=desc, context=context)
    for side, size in (("given", 4 * ROWS), ("made", 4 * 5)):
        dataset = acl.mdl.create_dataset()
        memory, _ = acl.rt.malloc(size, 0)
        buffer = acl.create_data_buffer(memory, size)
        assert acl.mdl.add_dataset_buffer(dataset, buffer) == (dataset, 0)
        setattr(found, side, dataset)
        setattr(found, f"{side}_memory", memory)
        setattr(found, f"{side}_buffer", buffer)
    return found


def _misused(acl: Any, work: Callable[[], object], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        work()
    assert any(text in one for one in acl.stand_in.misuse)


def test_what_is_right_is_no_misuse(acl: Any, loaded: SimpleNamespace) -> None:
    host, _ = acl.rt.malloc_host(4 * ROWS)
    assert acl.rt.memcpy(loaded.given_memory, 4 * ROWS, host, 4 * ROWS, 1) == 0
    assert acl.mdl.execute(loaded.model, loaded.given, loaded.made) == 0
    assert acl.stand_in.misuse == []


def test_before_init_and_after_finalize_nothing_works(acl: Any) -> None:
    assert acl.init() == 100002
    assert acl.finalize() == 0
    assert acl.finalize() == 100037
    assert acl.rt.set_device(0) == 100001
    _misused(acl, acl.init, "acl.init after acl.finalize")


def test_finalize_with_something_left(acl: Any, context: int) -> None:
    _misused(acl, acl.finalize, "acl.finalize with")


RELEASES = {
    "context": (lambda acl, one: acl.rt.destroy_context, "context"),
    "model": (lambda acl, one: acl.mdl.unload, "model"),
    "desc": (lambda acl, one: acl.mdl.destroy_desc, "desc"),
    "dataset": (lambda acl, one: acl.mdl.destroy_dataset, "given"),
    "buffer": (lambda acl, one: acl.destroy_data_buffer, "given_buffer"),
    "memory": (lambda acl, one: acl.rt.free, "given_memory"),
}


@pytest.mark.parametrize("kind", [kind for kind in RELEASES if kind != "context"])
def test_a_double_release(acl: Any, loaded: SimpleNamespace, kind: str) -> None:
    find, name = RELEASES[kind]
    release, number = find(acl, loaded), getattr(loaded, name)
    assert release(number) == 0
    _misused(acl, lambda: release(number), "was released before")


@pytest.mark.parametrize("kind", RELEASES)
def test_a_handle_of_another_kind_or_none(acl: Any, loaded: SimpleNamespace, kind: str) -> None:
    release = RELEASES[kind][0](acl, loaded)
    other = loaded.desc if kind != "desc" else loaded.model
    _misused(acl, lambda: release(other), "expected")
    _misused(acl, lambda: release(12345), "is nothing, expected")
    _misused(acl, lambda: release("x"), "is no int")
    _misused(acl, release, "takes 1 to 1 arguments")


@pytest.mark.parametrize("name", ["given", "made", "given_buffer", "given_memory", "model"])
def test_executing_with_what_was_released(acl: Any, loaded: SimpleNamespace, name: str) -> None:
    kinds = {"given": "dataset", "made": "dataset", "given_buffer": "buffer"}
    kind = kinds.get(name) or ("memory" if name == "given_memory" else "model")
    assert RELEASES[kind][0](acl, loaded)(getattr(loaded, name)) == 0
    _misused(
        acl,
        lambda: acl.mdl.execute(loaded.model, loaded.given, loaded.made),
        "was released before",
    )


def test_memory_of_the_wrong_side(acl: Any, loaded: SimpleNamespace) -> None:
    host, _ = acl.rt.malloc_host(64)
    _misused(acl, lambda: acl.rt.free(host), "rt.free of host memory")
    _misused(acl, lambda: acl.rt.free_host(loaded.made_memory), "rt.free_host of device memory")
    _misused(acl, lambda: acl.create_data_buffer(host, 64), "on the host")
    for kind in (0, 2, 3):
        copy = (loaded.made_memory, 20, host, 20, kind)
        _misused(acl, lambda copy=copy: acl.rt.memcpy(*copy), f"rt.memcpy of kind {kind}")


@pytest.mark.parametrize(("room", "count"), [(20, 21), (21, 21), (21, 20), (20, 0), (20, -1)])
def test_a_copy_that_does_not_fit(acl: Any, loaded: SimpleNamespace, room: int, count: int) -> None:
    host, _ = acl.rt.malloc_host(64)
    _misused(acl, lambda: acl.rt.memcpy(loaded.made_memory, room, host, count, 1), "rt.memcpy of")


def test_reading_past_the_source(acl: Any, loaded: SimpleNamespace) -> None:
    host, _ = acl.rt.malloc_host(16)
    _misused(acl, lambda: acl.rt.memcpy(loaded.made_memory, 20, host, 20, 1), "out of 16")


def _elsewhere(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_without_a_context(acl: Any, loaded: SimpleNamespace) -> None:
    run = lambda: acl.mdl.execute(loaded.model, loaded.given, loaded.made)  # noqa: E731
    assert _elsewhere(run) == 107002
    assert _elsewhere(lambda: acl.rt.malloc(8, 0)) == (0, 107002)
    assert _elsewhere(lambda: (acl.rt.set_context(loaded.context), run())[1]) == 0


def test_a_model_of_another_context(acl: Any, loaded: SimpleNamespace) -> None:
    other, _ = acl.rt.create_context(0)
    assert acl.mdl.execute(loaded.model, loaded.given, loaded.made) == 107004
    assert acl.mdl.unload(loaded.model) == 107004
    assert acl.rt.destroy_context(other) == 0


def test_releasing_in_the_wrong_order(acl: Any, loaded: SimpleNamespace) -> None:
    _misused(
        acl, lambda: acl.rt.destroy_context(loaded.context), "rt.destroy_context before mdl.unload"
    )
    _misused(acl, lambda: acl.rt.reset_device(0), "rt.reset_device before rt.destroy_context")


def test_a_device_that_is_not_set(acl: Any) -> None:
    _misused(acl, lambda: acl.rt.create_context(0), "which is not set")
    _misused(acl, lambda: acl.rt.reset_device(0), "0 is not set")
    assert acl.rt.set_device(1) == 107001


def test_a_description_that_was_not_filled(acl: Any, context: int) -> None:
    desc = acl.mdl.create_desc()
    _misused(acl, lambda: acl.mdl.get_num_inputs(desc), "before mdl.get_desc")


def test_inputs_and_outputs_that_do_not_fit(acl: Any, loaded: SimpleNamespace) -> None:
    empty = acl.mdl.create_dataset()
    assert acl.mdl.execute(loaded.model, empty, loaded.made) == 100017
    assert acl.mdl.execute(loaded.model, loaded.given, empty) == 100018
    assert acl.mdl.execute(loaded.model, loaded.made, loaded.given) == 100017
    _misused(acl, lambda: acl.mdl.get_input_dims(loaded.desc, 1), "1 of 1 inputs")
    _misused(acl, lambda: acl.mdl.add_dataset_buffer(loaded.given, loaded.given_buffer), "twice")


def test_gears(acl: Any, context: int, example: Callable[..., Any], tmp_path: Path) -> None:
    path = make_om(example(dynamic="batch").bundle, tmp_path / "m.om", [1, 4])
    model, _ = acl.mdl.load_from_file(str(path))
    dataset = acl.mdl.create_dataset()
    assert acl.mdl.set_dynamic_batch_size(model, dataset, 1, 3) == 145013
    assert acl.mdl.set_dynamic_batch_size(model, dataset, 1, 4) == 0
    _misused(
        acl,
        lambda: acl.mdl.set_dynamic_batch_size(model, dataset, 0, 4),
        "mdl.set_dynamic_batch_size",
    )


def test_new_memory_is_not_zero(acl: Any, context: int) -> None:
    """What a program forgot to write is noticed in its results."""
    device, _ = acl.rt.malloc(8, 0)
    host, _ = acl.rt.malloc_host(8)
    assert acl.rt.memcpy(host, 8, device, 8, 2) == 0
    assert np.frombuffer(acl.stand_in.alive[host].bytes, np.uint8).tolist() == [0xAB] * 8
