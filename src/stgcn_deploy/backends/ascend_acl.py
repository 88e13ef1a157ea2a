"""One OM file on an Ascend NPU: the sequence of ACL calls from acl.init to acl.finalize.

    once a process   init                                          finalize, at its end
    once a model     rt.set_device  rt.create_context              rt.destroy_context  rt.reset_device
                     mdl.load_from_file  mdl.create_desc           mdl.destroy_desc  mdl.unload
                     mdl.create_dataset                            mdl.destroy_dataset
    for each tensor  rt.malloc  rt.malloc_host                     rt.free  rt.free_host
                     create_data_buffer  mdl.add_dataset_buffer    destroy_data_buffer
    each call        rt.set_context  rt.memcpy  mdl.execute  rt.memcpy

Everything is released in the reverse order, also when acquiring it stopped half-way.  Loading, executing
and unloading a model belong into one context, which is set in whatever thread calls.  Signatures and
rules: Huawei, "CANN Application Development Interface Reference (Python)", hiascend.com.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.ascend_errors import advice
from stgcn_deploy.errors import BackendError, ClipError

__all__ = ["PROCESS", "AclModel", "AclTensor", "Process"]

# aclrtMemcpyKind, aclrtRunMode, aclrtMemMallocPolicy, aclDataType; ALREADY is not an error for us.
HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3
ON_DEVICE = 0
HUGE_FIRST = 0
DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype(np.float32), 1: np.dtype(np.float16)}
ALREADY_INITIALISED = 100002
# The input by which a model with gears is told how many clips come; its content is ACL's.
GEARS = "ascend_mbatch_shape_data"


class Process:
    """pyACL in this process: initialised at the first use, finalised at the end of the process.

    ACL may be initialised once in a process and not again after its end, so that it stays between
    sessions.  Where somebody else has done it (torch_npu), it is theirs to end.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._acl: Any = None
        self._ours = False
        self._open: dict[int, AclModel] = {}

    def use(self) -> Any:
        """The module `acl`, initialised.

        Raises:
            ImportError: it is not here; BackendError: it cannot be initialised.
        """
        import acl

        with self._lock:
            if self._acl is None:
                code = acl.init()
                if code not in (0, ALREADY_INITIALISED):
                    raise failure(acl, "acl.init", code)
                self._ours = code == 0
                self._acl = acl
                atexit.register(self.finish)
            return self._acl

    def enter(self, model: AclModel) -> None:
        """Count a model that is open."""
        with self._lock:
            self._open[id(model)] = model

    def leave(self, model: AclModel) -> None:
        """It is closed."""
        with self._lock:
            self._open.pop(id(model), None)

    def finish(self) -> None:
        """Close what is still open, and end ACL if it was begun here; nothing can be opened afterwards."""
        with self._lock:
            atexit.unregister(self.finish)
            for model in list(self._open.values()):
                with suppress(BackendError):
                    model.close()
            if self._ours:
                self._ours = False
                code = self._acl.finalize()
                if code:
                    raise failure(self._acl, "acl.finalize", code)


PROCESS = Process()


def failure(acl: Any, call: str, code: object) -> BackendError:
    """The error of a call that did not return 0, with ACL's own words where it has some."""
    said = ""
    with suppress(Exception):  # what explains an error must not hide it
        words = acl.get_recent_err_msg()
        said = f" ACL says: {' '.join(str(words).split())[:400]}" if words else ""
    return BackendError(f"{call} failed with ACL error {code}{advice(code)}{said}")


@dataclass
class AclTensor:
    """One input or output with its memory on both sides.

    Attributes:
        shape: as the model has it, -1 where gears decide.
        rows: of the largest gear, or of the model's fixed batch; as many fit the memory.
        size: bytes on the device.
        host: address of pinned memory; `view` is the same memory as an array of `rows`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    rows: int
    device: int = 0
    host: int = 0
    view: NDArray[Any] | None = None

    @property
    def full_shape(self) -> tuple[int, ...]:
        """The shape that the memory holds."""
        return (self.rows, *self.shape[1:]) if self.shape else ()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.full_shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def array(self) -> NDArray[Any]:
        """The pinned memory."""
        assert self.view is not None
        return self.view


class AclModel:
    """An OM file, loaded once, with memory for its inputs and outputs that every run uses again.

    Runs of several threads wait for each other.

    Args:
        path: the OM file.
        device: number of the NPU.

    Attributes:
        inputs, outputs: without the input by which gears are chosen.
        gears: batch sizes that the file was built for with --dynamic_batch_size; else empty.

    Raises:
        ImportError: pyACL is absent.
        BackendError: a call failed, or the file takes something else than arrays of floats.
    """

    def __init__(self, path: Path, device: int = 0) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._closed = False
        self.inputs: tuple[AclTensor, ...] = ()
        self.outputs: tuple[AclTensor, ...] = ()
        self.gears: tuple[int, ...] = ()
        self._acl = PROCESS.use()
        # What releases each thing that is held, in the order in which they were acquired.
        self._held: list[tuple[str, tuple[object, ...]]] = []
        try:
            PROCESS.enter(self)
            self._acquire(device)
        except BaseException:
            self._closed = True
            with suppress(BackendError):  # the first error is the one to tell
                self._release()
            raise

    # ---- calls -----------------------------------------------------------------------------------

    def _do(self, call: str, *arguments: object) -> None:
        """A call that returns its error code alone."""
        code = self._function(call)(*arguments)
        if code != 0:
            raise self._failure(call, code)

    def _get(self, call: str, *arguments: object) -> Any:
        """A call that returns a value and its error code."""
        value, code = self._function(call)(*arguments)
        if code != 0:
            raise self._failure(call, code)
        return value

    def _make(self, call: str, *arguments: object) -> Any:
        """A call that returns a handle or a size, and 0 where it fails."""
        value = self._function(call)(*arguments)
        if not value:
            raise self._failure(call, "(it returned nothing)")
        return value

    def _function(self, call: str) -> Callable[..., Any]:
        found: Any = self._acl
        for part in call.split("."):
            found = getattr(found, part)
        function: Callable[..., Any] = found
        return function

    def _failure(self, call: str, code: object) -> BackendError:
        told = failure(self._acl, f"acl.{call}", code)
        return BackendError(f"{self.path}: {told}")

    def _undo(self, call: str, *arguments: object) -> None:
        """Say what releases the thing that was just acquired."""
        self._held.append((call, arguments))

    # ---- acquiring -------------------------------------------------------------------------------

    def _acquire(self, device: int) -> None:
        self._do("rt.set_device", device)
        self._undo("rt.reset_device", device)
        context = self._get("rt.create_context", device)
        self._undo("rt.destroy_context", context)
        # On a chip that runs the program itself there is no host memory to copy from.
        inside = self._get("rt.get_run_mode") == ON_DEVICE
        self._to, self._fro = (
            (DEVICE_TO_DEVICE, DEVICE_TO_DEVICE) if inside else (HOST_TO_DEVICE, DEVICE_TO_HOST)
        )
        self._model = self._get("mdl.load_from_file", str(self.path.resolve()))
        self._undo("mdl.unload", self._model)
        self._desc = self._make("mdl.create_desc")
        self._undo("mdl.destroy_desc", self._desc)
        self._do("mdl.get_desc", self._desc, self._model)
        inputs = range(self._make("mdl.get_num_inputs", self._desc))
        names = [self._make("mdl.get_input_name_by_index", self._desc, index) for index in inputs]
        if GEARS in names:
            self._find_gears()
        self._given = self._make("mdl.create_dataset")
        self._undo("mdl.destroy_dataset", self._given)
        self._gear_input = -1
        found = []
        for index, name in enumerate(names):
            if name == GEARS:
                self._gear_input = index
                size = self._make("mdl.get_input_size_by_index", self._desc, index)
                self._device_memory(self._given, size)
            else:
                found.append(self._tensor("input", index, name, self._given))
        self.inputs = tuple(found)
        self._made = self._make("mdl.create_dataset")
        self._undo("mdl.destroy_dataset", self._made)
        outputs = range(self._make("mdl.get_num_outputs", self._desc))
        self.outputs = tuple(
            self._tensor(
                "output",
                index,
                self._make("mdl.get_output_name_by_index", self._desc, index),
                self._made,
            )
            for index in outputs
        )
        # First of all when it is closed: that may be in another thread.
        self._context = context
        self._undo("rt.set_context", context)

    def _find_gears(self) -> None:
        found = self._get("mdl.get_dynamic_batch", self._desc)
        self.gears = tuple(sorted(set(found["batch"][: found["batchCount"]])))
        if not self.gears:
            raise BackendError(
                f"{self.path} has gears of another kind than batch sizes; build it with "
                "--dynamic_batch_size, or one file for each batch size."
            )

    def _tensor(self, kind: str, index: int, name: str, dataset: int) -> AclTensor:
        """Describe an input or output, and give it memory on both sides."""
        size = self._make(f"mdl.get_{kind}_size_by_index", self._desc, index)
        shape = tuple(int(n) for n in self._get(f"mdl.get_{kind}_dims", self._desc, index)["dims"])
        code = self._function(f"mdl.get_{kind}_data_type")(self._desc, index)
        if code not in DTYPES:
            raise BackendError(
                f"{self.path}: {kind} {name!r} has ACL data type {code}, expected 0 (float32) or 1 "
                "(float16); it was not built of one of our graphs."
            )
        tensor = AclTensor(name, shape, DTYPES[code], size, self._rows(kind, name, shape))
        needed = tensor.rows * tensor.row_bytes
        if size < needed:
            raise BackendError(
                f"{self.path}: ACL gives {kind} {name!r} {size} bytes, {needed} expected for shape "
                f"{tensor.full_shape} of {tensor.dtype}; the file is damaged, or of another CANN version."
            )
        tensor.device = self._device_memory(dataset, size)
        tensor.host = self._get("rt.malloc_host", needed)
        self._undo("rt.free_host", tensor.host)
        memory = (ctypes.c_char * needed).from_address(tensor.host)
        tensor.view = np.frombuffer(memoryview(memory).cast("B"), tensor.dtype).reshape(
            tensor.full_shape
        )
        return tensor

    def _rows(self, kind: str, name: str, shape: Sequence[int]) -> int:
        """Rows that the memory of a tensor has to hold.

        Raises:
            BackendError: sizes are open that no gears decide.
        """
        if not shape:
            raise BackendError(
                f"{self.path}: {kind} {name!r} has no axes, expected clips along one."
            )
        if min(shape[1:], default=1) < 1 or (shape[0] < 1 and not self.gears):
            raise BackendError(
                f"{self.path}: {kind} {name!r} has open sizes {tuple(shape)}; run are files whose sizes "
                "are fixed, or whose first one has gears (--dynamic_batch_size)."
            )
        return self.gears[-1] if self.gears else shape[0]

    def _device_memory(self, dataset: int, size: int) -> int:
        """Memory on the device, in a dataset."""
        pointer: int = self._get("rt.malloc", size, HUGE_FIRST)
        self._undo("rt.free", pointer)
        buffer = self._make("create_data_buffer", pointer, size)
        self._undo("destroy_data_buffer", buffer)
        self._get("mdl.add_dataset_buffer", dataset, buffer)
        return pointer

    # ---- running ---------------------------------------------------------------------------------

    def run(self, arrays: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """One call; (rows, ...) each, as many rows as the file's batch, or up to its largest gear.

        Raises:
            ClipError: a number is too large for an input in half precision.
            BackendError: a call failed, or this is closed.
        """
        with self._lock:
            if self._closed:
                raise BackendError(f"{self.path} is closed; open it again.")
            self._do("rt.set_context", self._context)
            rows = len(arrays[0])
            filled = self._choose_gear(rows)
            for tensor, array in zip(self.inputs, arrays, strict=True):
                self._fill(tensor, array, filled)
                self._copy(tensor.device, tensor.size, tensor.host, tensor, filled, self._to)
            self._do("mdl.execute", self._model, self._given, self._made)
            results = []
            for index, tensor in enumerate(self.outputs):
                self._check_gear(index, filled)
                room = tensor.rows * tensor.row_bytes
                self._copy(tensor.host, room, tensor.device, tensor, filled, self._fro)
                results.append(tensor.array()[:rows].astype(np.float32))
            return results

    def _choose_gear(self, rows: int) -> int:
        """The rows of this call; with gears the smallest that holds them."""
        if not self.gears:
            return rows
        gear = next(size for size in self.gears if size >= rows)
        self._do("mdl.set_dynamic_batch_size", self._model, self._given, self._gear_input, gear)
        return gear

    def _check_gear(self, index: int, filled: int) -> None:
        """That the output has the rows of the gear that was chosen."""
        if not self.gears:
            return
        found = self._get("mdl.get_cur_output_dims", self._desc, index)["dims"]
        if found[0] != filled:
            raise BackendError(
                f"{self.path}: output {index} has shape {tuple(found)} after gear {filled} was set."
            )

    def _fill(self, tensor: AclTensor, array: NDArray[np.float32], filled: int) -> None:
        """Copy an array into pinned memory, in the precision of the input; surplus rows are zero."""
        view = tensor.array()
        try:
            with np.errstate(over="raise"):
                np.copyto(view[: len(array)], array, casting="same_kind")
        except FloatingPointError:
            raise ClipError(
                f"input {tensor.name!r} is in half precision in {self.path}, which ends at 65504, and a "
                f"number of the clip has size {float(np.abs(array).max()):.4g}; build it with inputs in "
                "float32, or scale the clip as training did."
            ) from None
        view[len(array) : filled] = 0

    def _copy(
        self, target: int, room: int, source: int, tensor: AclTensor, rows: int, kind: int
    ) -> None:
        self._do("rt.memcpy", target, room, source, rows * tensor.row_bytes, kind)

    # ---- releasing -------------------------------------------------------------------------------

    def close(self) -> None:
        """Release everything; a second call does nothing.

        Raises:
            BackendError: a release failed; all others were done nevertheless.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for tensor in (*self.inputs, *self.outputs):
                tensor.view = None
            self._release()

    def _release(self) -> None:
        """Everything, the last first; then the first error, if there was one, whatever its kind."""
        first: BaseException | None = None
        while self._held:
            call, arguments = self._held.pop()
            try:
                self._do(call, *arguments)
            except BaseException as error:
                first = first or error
        PROCESS.leave(self)
        if first is not None:
            raise first
