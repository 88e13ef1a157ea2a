"""The sequence of ACL calls: what it takes it gives back, whatever fails; see tests/fakes/acl.py."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.om import read_om
from npu import npu
from oms import make_om

from stgcn_deploy.backends import ascend_acl
from stgcn_deploy.backends.ascend_acl import AclModel
from stgcn_deploy.backends.ascend_errors import KNOWN, advice
from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.errors import BackendError, ClipError

__all__ = ["npu"]

SHAPE = (3, 20, 18, 2)
BUILT = OpenOptions(compute=None)


@pytest.fixture(scope="module")
def source(example: Callable[..., Any]) -> Path:
    path: Path = example(dynamic="batch").bundle
    return path


@pytest.fixture
def om(source: Path, tmp_path: Path) -> Path:
    return make_om(source, tmp_path / "model_b1_fp32.om")


def _batch(rows: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (rows, *SHAPE)).astype(np.float32)


def _expected(om: Path, batch: np.ndarray) -> np.ndarray:
    """What ONNX Runtime gives for the graph that the file was built of."""
    model = om.with_suffix(".onnx")
    model.write_bytes(read_om(om)[0])
    with BACKENDS["onnxruntime"].open(model, OpenOptions(threads=1)) as session:
        return session.run({"input": batch})["output"]


# ---- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 4])
def test_results_are_those_of_onnx_runtime_bit_for_bit(
    npu: Any, source: Path, tmp_path: Path, batch: int
) -> None:
    path = make_om(source, tmp_path / "m.om", [batch])
    with BACKENDS["ascend"].open(path, BUILT) as session:
        for seed in range(3):
            found = session.run({"input": _batch(batch, seed)})["output"]
            assert np.array_equal(found, _expected(path, _batch(batch, seed)))


def test_a_thousand_runs_take_nothing_more(npu: Any, om: Path) -> None:
    model = AclModel(om)
    batch, alive, made = [_batch()], len(npu.alive), npu.counts.copy()
    first = model.run(batch)[0].copy()
    npu.keep_calls = False
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(1000):
        found = model.run(batch)[0]
    garbage = gc.collect()  # it empties Python's own lists of free tuples, too
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    assert np.array_equal(found, first)
    assert garbage == 0
    assert len(npu.alive) == alive
    assert npu.counts["mdl.execute"] == 1001
    changed = {name for name, number in npu.counts.items() if number != made[name]}
    assert changed == {"rt.set_context", "rt.memcpy", "mdl.execute"}
    ours = [tracemalloc.Filter(True, ascend_acl.__file__)]
    grown = after.filter_traces(ours).compare_to(before.filter_traces(ours), "filename")
    # Some 20 kB stay in caches of Python's own, after 10,000 runs as after 1,000.
    assert sum(one.size_diff for one in grown) < 40_000
    model.close()


def test_an_answer_belongs_to_the_caller(npu: Any, om: Path) -> None:
    with BACKENDS["ascend"].open(om, BUILT) as session:
        first = session.run({"input": _batch()})["output"]
        kept = first.copy()
        session.run({"input": _batch(seed=1)})
        assert np.array_equal(first, kept)
        first[:] = 0
        assert np.array_equal(session.run({"input": _batch()})["output"], kept)
    assert np.array_equal(first, np.zeros_like(first))


# ---- several, and threads ------------------------------------------------------------------------


def test_two_sessions_do_not_disturb_each_other(
    npu: Any, source: Path, om: Path, tmp_path: Path
) -> None:
    backend = BACKENDS["ascend"]
    four = make_om(source, tmp_path / "four.om", [4])
    with backend.open(om, BUILT) as one, backend.open(four, BUILT) as two:
        assert npu.counts["init"] == 1
        first = one.run({"input": _batch()})["output"]
        two.run({"input": _batch(4)})
        assert np.array_equal(one.run({"input": _batch()})["output"], first)
        two.close()
        assert np.array_equal(one.run({"input": _batch()})["output"], first)
    with backend.open(om, BUILT) as again:
        assert np.array_equal(again.run({"input": _batch()})["output"], first)
    assert npu.counts["init"] == 1
    assert npu.counts["finalize"] == 0


def _in_threads(*works: Callable[[], object]) -> list[BaseException]:
    found: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_threads_with_a_session_each(npu: Any, source: Path, om: Path) -> None:
    wanted = {seed: _expected(om, _batch(seed=seed)) for seed in (1, 2)}

    def work(seed: int) -> None:
        with BACKENDS["ascend"].open(om, BUILT) as session:
            for _ in range(30):
                found = session.run({"input": _batch(seed=seed)})["output"]
                assert np.array_equal(found, wanted[seed])

    assert _in_threads(lambda: work(1), lambda: work(2)) == []


def test_a_session_can_be_used_and_closed_in_other_threads(
    npu: Any, source: Path, om: Path
) -> None:
    """Every thread needs the context set; and two at once must not mix their clips."""
    session = BACKENDS["ascend"].open(om, BUILT)
    wanted = {seed: _expected(om, _batch(seed=seed)) for seed in (1, 2)}

    def work(seed: int) -> None:
        for _ in range(20):
            found = session.run({"input": _batch(seed=seed)})["output"]
            assert np.array_equal(found, wanted[seed])

    assert _in_threads(lambda: work(1), lambda: work(2)) == []
    assert _in_threads(session.close) == []
    assert npu.leaks() == {}


# ---- releasing -----------------------------------------------------------------------------------


def test_closing_gives_everything_back_and_a_second_time_nothing(npu: Any, om: Path) -> None:
    model = AclModel(om)
    assert npu.leaks() == {
        "device": 1, "Context": 1, "Model": 1, "Desc": 1, "Dataset": 2, "Buffer": 2,
        "device memory": 2, "host memory": 2,
    }  # fmt: skip
    model.close()
    assert npu.leaks() == {}
    calls = len(npu.calls)
    model.close()
    assert len(npu.calls) == calls


def test_after_closing_nothing_runs(npu: Any, om: Path) -> None:
    model = AclModel(om)
    model.close()
    with pytest.raises(BackendError, match="closed"):
        model.run([_batch()])


def test_the_end_of_the_process_closes_what_is_open_and_ends_acl_once(npu: Any, om: Path) -> None:
    left = [AclModel(om), AclModel(om)]
    ascend_acl.PROCESS.finish()
    assert npu.leaks() == {}
    assert npu.state == "ended"
    ascend_acl.PROCESS.finish()
    assert npu.counts["finalize"] == 1
    with pytest.raises(BackendError, match="closed"):
        left[0].run([_batch()])
    with pytest.raises(BackendError, match=r"acl\.rt\.set_device failed with ACL error 100001"):
        AclModel(om)


def test_acl_that_somebody_else_began_is_theirs_to_end(npu: Any, om: Path) -> None:
    import acl

    assert acl.init() == 0
    AclModel(om).close()
    ascend_acl.PROCESS.finish()
    assert npu.counts["finalize"] == 0
    assert acl.finalize() == 0


# ---- every call fails in turn --------------------------------------------------------------------


def _use(om: Path) -> None:
    with BACKENDS["ascend"].open(om, BUILT) as session:
        session.run({"input": _batch()})


@pytest.fixture
def calls(npu: Any, om: Path) -> list[str]:
    """The calls of one session with one run, in order."""
    _use(om)
    names = list(npu.calls)
    npu.reset()
    ascend_acl.PROCESS.__init__()  # type: ignore[misc]
    return names


RELEASES = {
    "destroy_data_buffer", "mdl.destroy_dataset", "mdl.destroy_desc", "mdl.unload", "rt.free",
    "rt.free_host", "rt.destroy_context", "rt.reset_device",
}  # fmt: skip


def test_a_session_makes_these_calls(calls: list[str]) -> None:
    """So that the tests below are about something."""
    assert len(calls) > 40
    assert calls[0] == "init"
    assert set(calls) >= RELEASES | {"mdl.execute", "rt.memcpy", "mdl.load_from_file"}
    assert calls.index("rt.free") < calls.index("mdl.unload") < calls.index("rt.destroy_context")
    assert calls[-1] == "rt.reset_device"


@pytest.mark.parametrize("how", ["code", "exception", "interrupt"])
def test_whichever_call_fails_nothing_is_left(
    npu: Any, om: Path, calls: list[str], how: str
) -> None:
    """But for what could not be released because its own release failed, and what holds on to it."""
    kinds = {"code": 507011, "exception": RuntimeError("broken"), "interrupt": KeyboardInterrupt()}
    for number, name in enumerate(calls, 1):
        npu.reset()
        ascend_acl.PROCESS.__init__()  # type: ignore[misc]
        npu.fail_at, npu.fail_with = number, kinds[how]
        expected = BackendError if how == "code" else type(kinds[how])
        with pytest.raises(expected) as caught:
            _use(om)
        assert npu.misuse == [] or name in RELEASES, (number, name)
        if name not in RELEASES:
            assert npu.leaks() == {}, (number, name)
        else:
            # One thing, and what cannot go before it is gone.
            assert 1 <= sum(npu.leaks().values()) <= 3, (number, name)
        if how == "code" and "data_type" not in name:
            assert f"acl.{name} failed with ACL error" in str(caught.value)
            assert "was told to fail" in str(caught.value)
    npu.reset()
    ascend_acl.PROCESS.__init__()  # type: ignore[misc]


def test_the_first_error_is_told_not_those_of_cleaning_up(
    npu: Any, om: Path, calls: list[str]
) -> None:
    import acl

    def broken(*arguments: object) -> int:
        return 507899

    original = acl.rt.free_host
    acl.rt.free_host = broken
    npu.fail_at = len(calls) - calls[::-1].index("rt.malloc_host")
    npu.fail_with = 207001
    try:
        with pytest.raises(BackendError, match="207001"):
            AclModel(om)
    finally:
        acl.rt.free_host = original
    for number, thing in list(npu.alive.items()):
        assert thing.side == "host"
        assert original(number) == 0


# ---- what cannot be run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "100013"), (b"text", "100013"), (b"PK\x03\x04", "stgcn build on this host")],
)
def test_a_file_that_is_no_model_is_an_error_of_ours(
    npu: Any, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "broken.om"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=message) as caught:
        BACKENDS["ascend"].open(path, BUILT)
    assert "broken.om" in str(caught.value)


def test_a_file_for_another_chip_is_refused_with_what_to_do(
    npu: Any, source: Path, tmp_path: Path
) -> None:
    path = make_om(source, tmp_path / "m.om", soc_version="Ascend910B1")
    with pytest.raises(BackendError, match="for another chip; run stgcn build") as caught:
        AclModel(path)
    assert "the model is for Ascend910B1, this is Ascend310P3" in str(caught.value)


def test_a_missing_file_is_an_error_of_ours(npu: Any, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"absent\.om does not exist"):
        BACKENDS["ascend"].open(tmp_path / "absent.om", BUILT)
    with pytest.raises(BackendError, match=r"absent\.om.*145002.*see its path"):
        AclModel(tmp_path / "absent.om")


def test_no_memory_left_says_so(npu: Any, om: Path) -> None:
    npu.free_memory = 10_000
    with pytest.raises(BackendError, match=r"207001 .*smaller batch"):
        AclModel(om)


def test_no_such_device_says_so(npu: Any, om: Path) -> None:
    with pytest.raises(BackendError, match=r"107001 .*npu-smi info"):
        AclModel(om, device=3)


def test_gears_of_another_kind_are_refused(npu: Any, source: Path, tmp_path: Path) -> None:
    import acl

    path = make_om(source, tmp_path / "m.om", [1, 2])
    found = acl.mdl.get_dynamic_batch
    acl.mdl.get_dynamic_batch = lambda desc: ({"batchCount": 0, "batch": [0] * 128}, 0)
    try:
        with pytest.raises(BackendError, match="gears of another kind than batch sizes"):
            AclModel(path)
    finally:
        acl.mdl.get_dynamic_batch = found


@pytest.mark.parametrize(
    ("function", "found", "message"),
    [
        ("get_input_data_type", 9, "data type 9, expected 0"),
        ("get_output_data_type", 3, "data type 3, expected 0"),
        ("get_input_size_by_index", 64, "64 bytes, 8640 expected"),
        ("get_input_dims", ({"dims": [1, 3, -1, 18, 2]}, 0), "open sizes"),
        ("get_input_dims", ({"dims": [-1, 3, 20, 18, 2]}, 0), "open sizes"),
        ("get_output_dims", ({"dims": []}, 0), "has no axes"),
    ],
)
def test_what_the_model_may_not_be(
    npu: Any, om: Path, monkeypatch: pytest.MonkeyPatch, function: str, found: Any, message: str
) -> None:
    import acl

    with monkeypatch.context() as patch:
        patch.setattr(acl.mdl, function, lambda desc, index: found)
        with pytest.raises(BackendError, match=message):
            AclModel(om)
    assert npu.leaks() == {}


# ---- half precision ------------------------------------------------------------------------------


def test_inputs_and_outputs_in_half_precision_are_converted(
    npu: Any, source: Path, tmp_path: Path
) -> None:
    path = make_om(source, tmp_path / "m.om", half_ends=True)
    with BACKENDS["ascend"].open(path, BUILT) as session:
        assert {spec.dtype for spec in (*session.inputs, *session.outputs)} == {"float32"}
        found = session.run({"input": _batch()})["output"]
    rounded = _batch().astype(np.float16).astype(np.float32)
    single = make_om(source, tmp_path / "single.om")
    wanted = _expected(single, rounded).astype(np.float16)
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted.astype(np.float32))


def test_a_number_that_half_precision_does_not_hold_is_refused(
    npu: Any, source: Path, tmp_path: Path
) -> None:
    path = make_om(source, tmp_path / "m.om", half_ends=True)
    with BACKENDS["ascend"].open(path, BUILT) as session:
        wanted = session.run({"input": _batch()})["output"]
        large = _batch()
        large[0, 0, 0, 0, 0] = 70_000
        with pytest.raises(
            ClipError, match="ends at 65504, and a number of the clip has size 7e\\+04"
        ):
            session.run({"input": large})
        assert np.array_equal(session.run({"input": _batch()})["output"], wanted)


# ---- gears ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 19])
def test_gears_take_any_number_of_clips(npu: Any, source: Path, tmp_path: Path, rows: int) -> None:
    path = make_om(source, tmp_path / "m.om", [1, 4, 8])
    with BACKENDS["ascend"].open(path, BUILT) as session:
        assert session.inputs[0].shape == ("batch", *SHAPE)
        assert session.outputs[0].shape == ("batch", 5)
        found = session.run({"input": _batch(rows)})["output"]
        # After a large gear a small one must not see what the large one left.
        again = session.run({"input": _batch(rows, 1)[:1]})["output"]
    assert found.shape == (rows, 5)
    assert np.allclose(found, _expected(path, _batch(rows)), atol=1e-6)
    assert np.allclose(again, _expected(path, _batch(rows, 1)[:1]), atol=1e-6)


def test_gears_in_half_precision(npu: Any, source: Path, tmp_path: Path) -> None:
    path = make_om(source, tmp_path / "m.om", [2, 4], half_ends=True)
    with BACKENDS["ascend"].open(path, BUILT) as session:
        found = session.run({"input": _batch(3)})["output"]
    single = make_om(source, tmp_path / "single.om", [3])
    assert np.allclose(found, _expected(single, _batch(3)), atol=2e-3)


def test_no_clip_at_all_is_refused(npu: Any, source: Path, tmp_path: Path) -> None:
    path = make_om(source, tmp_path / "m.om", [2, 4])
    with (
        BACKENDS["ascend"].open(path, BUILT) as session,
        pytest.raises(ClipError, match="expected the same number, at least 1"),
    ):
        session.run({"input": _batch(0)})


def test_an_output_of_another_size_than_its_gear_is_noticed(
    npu: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import acl

    model = AclModel(make_om(source, tmp_path / "m.om", [2, 4]))
    with monkeypatch.context() as patch:
        patch.setattr(acl.mdl, "get_cur_output_dims", lambda desc, index: ({"dims": [4, 5]}, 0))
        with pytest.raises(BackendError, match="after gear 2 was set"):
            model.run([_batch(1)])
    model.close()


# ---- a program that runs on the chip itself ------------------------------------------------------


def test_on_the_chip_itself_memory_is_copied_within_it(npu: Any, source: Path, om: Path) -> None:
    npu.run_mode = 0
    with BACKENDS["ascend"].open(om, BUILT) as session:
        found = session.run({"input": _batch()})["output"]
    assert np.array_equal(found, _expected(om, _batch()))


# ---- errors in words -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(KNOWN))
def test_known_errors_are_explained(code: int) -> None:
    assert KNOWN[code] in advice(code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (199999, "a call or an environment"),
        (299999, "npu-smi info"),
        (507053, "inside CANN"),
        (7, "."),
        ("(it returned nothing)", "."),
    ],
)
def test_unknown_errors_are_explained_by_their_kind(code: object, text: str) -> None:
    assert text in advice(code)
