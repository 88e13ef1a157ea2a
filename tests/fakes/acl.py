"""A strict stand-in for pyACL, the module `acl` of CANN: the calls that run an OM file, on the CPU.

Names, arguments and what is returned follow Huawei's pages "CANN Application Development Interface
Reference (Python)", https://www.hiascend.com/document/detail/en/canncommercial/800/apiref/appdevgapi/
(aclpythondevg_01_0006 finalize, _0056 ptr_to_bytes, _0077 set_context, _0116 malloc_host, _0124 memcpy,
_0145 execute, _0149 load, _0151 set_dynamic_batch_size, _0201 get_input_dims, _0921 aclError; the same text
lies in github.com/hicann/runtime under python/docs).  What they forbid or leave undefined is an error here:
a wrong or dead handle, a double release, memory of the wrong side, sizes that do not fit, a context that is
not set in the calling thread, a second acl.init, acl.finalize with something left.  Such misuse raises
Misuse and stays in `stand_in.misuse`, so that no handler can hide it; what a correct program may meet is
returned as ACL's error number.  Models are computed by ONNX Runtime, see om.py for their files; a list as
their "batch" stands for the gears of --dynamic_batch_size, and the graph's first axes are open then.

`stand_in` is not part of pyACL: tests look at it, and let calls fail with it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from acl_state import (
    CODE,
    DESERIALISE,
    DEVICE_ID,
    FINALISED,
    INPUT_NOT_MATCH,
    MODEL_CONTEXT,
    NO_CONTEXT,
    NO_MEMORY,
    NO_SUCH_GEAR,
    NO_SUCH_PATH,
    NOT_DYNAMIC,
    NOTHING,
    OUTPUT_NOT_MATCH,
    PAIR,
    PARSE_MODEL,
    REPEATED,
    SUCCESS,
    Buffer,
    Context,
    Dataset,
    Desc,
    Memory,
    Model,
    call,
    stand_in,
)
from om import read_om

GEARS = "ascend_mbatch_shape_data"
TYPES = {
    "tensor(float)": (0, np.float32),
    "tensor(float16)": (1, np.float16),
    "tensor(int64)": (9, np.int64),
}


# ---- acl -----------------------------------------------------------------------------------------


@call("init", CODE, str, least=0, early=True)
def init(*config: str) -> int:
    if stand_in.state == "ended":
        raise stand_in.wrong("acl.init after acl.finalize: once in a process")
    if stand_in.state == "running":
        return REPEATED
    stand_in.state = "running"
    return SUCCESS


@call("finalize", CODE, early=True)
def finalize() -> int:
    if stand_in.state != "running":
        return FINALISED
    if left := stand_in.leaks():
        raise stand_in.wrong(f"acl.finalize with {left} left")
    stand_in.state = "ended"
    return SUCCESS


def get_recent_err_msg() -> str | None:
    words = getattr(stand_in.words, "text", None)
    stand_in.words.text = None
    return words


@call("get_soc_name", NOTHING)
def get_soc_name() -> str:
    return stand_in.soc


@call("create_data_buffer", NOTHING, int, int)
def create_data_buffer(address: int, size: int) -> int:
    memory = stand_in.get(address, Memory, "create_data_buffer")
    if memory.side != "device" or not 0 < size <= memory.size:
        raise stand_in.wrong(
            f"create_data_buffer: {size} bytes of {memory.size} on the {memory.side}"
        )
    return stand_in.new(Buffer(address, size))


@call("destroy_data_buffer", CODE, int)
def destroy_data_buffer(buffer: int) -> int:
    stand_in.drop(buffer, Buffer, "destroy_data_buffer")
    return SUCCESS


# ---- acl.rt --------------------------------------------------------------------------------------


@call("rt.get_device_count", PAIR, early=True)
def _get_device_count() -> tuple[int, int]:
    return stand_in.devices, SUCCESS


@call("rt.get_run_mode", PAIR)
def _get_run_mode() -> tuple[int, int]:
    return stand_in.run_mode, SUCCESS


@call("rt.set_device", CODE, int)
def _set_device(device: int) -> int:
    if not 0 <= device < stand_in.devices:
        return stand_in.fail(DEVICE_ID, f"no device {device}")
    stand_in.device_uses[device] += 1
    stand_in.thread.device = device
    return SUCCESS


@call("rt.reset_device", CODE, int)
def _reset_device(device: int) -> int:
    if stand_in.device_uses[device] < 1:
        raise stand_in.wrong(f"rt.reset_device: {device} is not set")
    left = [one for one in stand_in.alive.values() if isinstance(one, Context)]
    if stand_in.device_uses[device] == 1 and any(one.device == device for one in left):
        return stand_in.too_early("rt.reset_device before rt.destroy_context")
    stand_in.device_uses[device] -= 1
    return SUCCESS


@call("rt.create_context", PAIR, int)
def _create_context(device: int) -> tuple[int, int]:
    if stand_in.device_uses[device] < 1:
        raise stand_in.wrong(f"rt.create_context on device {device}, which is not set")
    stand_in.thread.context = stand_in.new(Context(device))
    return stand_in.thread.context, SUCCESS


@call("rt.set_context", CODE, int)
def _set_context(context: int) -> int:
    stand_in.get(context, Context, "rt.set_context")
    stand_in.thread.context = context
    return SUCCESS


@call("rt.destroy_context", CODE, int)
def _destroy_context(context: int) -> int:
    stand_in.get(context, Context, "rt.destroy_context")
    if any(isinstance(one, Model) and one.context == context for one in stand_in.alive.values()):
        return stand_in.too_early("rt.destroy_context before mdl.unload")
    stand_in.drop(context, Context, "rt.destroy_context")
    if getattr(stand_in.thread, "context", None) == context:
        stand_in.thread.context = None
    return SUCCESS


def _allocated(side: str, size: int, call_name: str) -> tuple[int, int]:
    if size < 1:
        raise stand_in.wrong(f"{call_name} of {size} bytes")
    if stand_in.context(call_name) is None:
        return 0, stand_in.fail(NO_CONTEXT, "no context in this thread")
    taken = sum(one.size for one in stand_in.alive.values() if isinstance(one, Memory))
    if stand_in.free_memory is not None and taken + size > stand_in.free_memory:
        return 0, stand_in.fail(NO_MEMORY, "out of memory")
    if side == "host":
        block = (ctypes.c_char * size)(*itertools.repeat(b"\xab", size))
        return stand_in.new(Memory(side, size, block), ctypes.addressof(block)), SUCCESS
    # No address of this process: who follows it on the host crashes, as with a real one.
    number = next(stand_in._addresses)
    return stand_in.new(Memory(side, size, bytearray(b"\xab" * size)), number), SUCCESS


@call("rt.malloc", PAIR, int, int)
def _malloc(size: int, policy: int) -> tuple[int, int]:
    if policy not in (0, 1, 2):
        raise stand_in.wrong(f"rt.malloc with policy {policy}")
    return _allocated("device", size, "rt.malloc")


@call("rt.malloc_host", PAIR, int)
def _malloc_host(size: int) -> tuple[int, int]:
    return _allocated("host", size, "rt.malloc_host")


def _free_of(side: str, pointer: int, name: str) -> int:
    memory = stand_in.get(pointer, Memory, name)
    if memory.side != side:
        raise stand_in.wrong(f"{name} of {memory.side} memory")
    stand_in.drop(pointer, Memory, name)
    return SUCCESS


@call("rt.free", CODE, int)
def _free(pointer: int) -> int:
    return _free_of("device", pointer, "rt.free")


@call("rt.free_host", CODE, int)
def _free_host(pointer: int) -> int:
    return _free_of("host", pointer, "rt.free_host")


@call("rt.memcpy", CODE, int, int, int, int, int)
def _memcpy(target: int, room: int, source: int, count: int, kind: int) -> int:
    if stand_in.context("rt.memcpy") is None:
        return stand_in.fail(NO_CONTEXT, "no context in this thread")
    into = stand_in.get(target, Memory, "rt.memcpy")
    out_of = stand_in.get(source, Memory, "rt.memcpy")
    sides = {0: ("host", "host"), 1: ("host", "device"), 2: ("device", "host"), 3: ("device",) * 2}
    fits = (out_of.side, into.side) == sides.get(kind) if stand_in.run_mode else kind == 3
    if not fits:
        raise stand_in.wrong(f"rt.memcpy of kind {kind} from the {out_of.side} to the {into.side}")
    if not 0 < count <= room <= into.size or count > out_of.size:
        raise stand_in.wrong(
            f"rt.memcpy of {count} bytes out of {out_of.size} into {room} of {into.size}"
        )
    into.bytes[:count] = out_of.bytes[:count]
    return SUCCESS


# ---- acl.mdl -------------------------------------------------------------------------------------


@call("mdl.load_from_file", PAIR, str)
def _load_from_file(path: str) -> tuple[int, int]:
    context = stand_in.context("mdl.load_from_file")
    if context is None:
        return 0, stand_in.fail(NO_CONTEXT, "no context in this thread")
    if not os.path.isfile(path):  # noqa: PTH113
        return 0, stand_in.fail(NO_SUCH_PATH, f"E10001: no file {path}")
    try:
        data, meta = read_om(Path(path))
    except ValueError as error:
        return 0, stand_in.fail(PARSE_MODEL, str(error))
    if meta["soc_version"] != stand_in.soc:
        words = f"the model is for {meta['soc_version']}, this is {stand_in.soc}"
        return 0, stand_in.fail(DESERIALISE, words)
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        return 0, stand_in.fail(PARSE_MODEL, str(error))
    return stand_in.new(Model(context, session, meta)), SUCCESS


@call("mdl.unload", CODE, int)
def _unload(model: int) -> int:
    found = stand_in.get(model, Model, "mdl.unload")
    if stand_in.context("mdl.unload") != found.context:
        return stand_in.fail(MODEL_CONTEXT, "loaded in another context")
    stand_in.drop(model, Model, "mdl.unload")
    return SUCCESS


@call("mdl.create_desc", NOTHING)
def _create_desc() -> int:
    return stand_in.new(Desc())


@call("mdl.destroy_desc", CODE, int)
def _destroy_desc(desc: int) -> int:
    stand_in.drop(desc, Desc, "mdl.destroy_desc")
    return SUCCESS


@call("mdl.get_desc", CODE, int, int)
def _get_desc(desc: int, model: int) -> int:
    stand_in.get(model, Model, "mdl.get_desc")
    stand_in.get(desc, Desc, "mdl.get_desc").model = model
    return SUCCESS


@dataclass
class Port:
    """One input or output as ACL describes it."""

    name: str
    shape: tuple[int, ...]
    kind: int
    size: int


def _gears(model: Model) -> list[int]:
    batch = model.meta["batch"]
    return sorted(batch) if isinstance(batch, list) else []


def _ports(model: Model, side: str) -> list[Port]:
    """Inputs or outputs; sizes are those of the largest gear."""
    gears, found = _gears(model), []
    values = model.session.get_inputs() if side == "inputs" else model.session.get_outputs()
    for value in values:
        kind, dtype = TYPES[value.type]
        shape = tuple(-1 if isinstance(n, str) or n is None else n for n in value.shape)
        wanted = tuple(model.meta[side][value.name])
        if (shape[1:] if gears else shape) != (wanted[1:] if gears else wanted):
            raise stand_in.wrong(
                f"meta.json has shape {wanted} for {value.name}, the graph {shape}"
            )
        rows = gears[-1] if gears else shape[0]
        size = int(rows * np.prod(shape[1:], dtype=np.int64) * np.dtype(dtype).itemsize)
        name = value.name
        if side == "outputs":
            # As ATC writes them: operator, place among its outputs, name in the graph.
            name = f"Softmax_{len(found)}:0:{name}"
        found.append(Port(name, (-1, *shape[1:]) if gears else shape, kind, size))
    if gears and side == "inputs":
        found.append(Port(GEARS, (1,), 3, 4))
    return found


def _described(desc: int, name: str) -> Model:
    found = stand_in.get(desc, Desc, name)
    if found.model is None:
        raise stand_in.wrong(f"{name} before mdl.get_desc")
    model: Model = stand_in.get(found.model, Model, name)
    return model


def _port(desc: int, index: int, side: str, name: str) -> Port:
    ports = _ports(_described(desc, name), side)
    if not 0 <= index < len(ports):
        raise stand_in.wrong(f"{name}: {index} of {len(ports)} {side}")
    return ports[index]


def _io(side: str, one: str) -> dict[str, Callable[..., Any]]:
    """The functions that pyACL has for inputs and for outputs."""

    @call(f"mdl.get_num_{side}", NOTHING, int)
    def count(desc: int) -> int:
        return len(_ports(_described(desc, f"mdl.get_num_{side}"), side))

    @call(f"mdl.get_{one}_size_by_index", NOTHING, int, int)
    def size(desc: int, index: int) -> int:
        return _port(desc, index, side, f"mdl.get_{one}_size_by_index").size

    @call(f"mdl.get_{one}_name_by_index", NOTHING, int, int)
    def name(desc: int, index: int) -> str:
        return _port(desc, index, side, f"mdl.get_{one}_name_by_index").name

    @call(f"mdl.get_{one}_dims", lambda code: ({}, code), int, int)
    def dims(desc: int, index: int) -> tuple[dict[str, Any], int]:
        port = _port(desc, index, side, f"mdl.get_{one}_dims")
        shape = list(port.shape)
        return {"name": port.name, "dimCount": len(shape), "dims": shape}, SUCCESS

    @call(f"mdl.get_{one}_data_type", lambda code: -1, int, int)
    def data_type(desc: int, index: int) -> int:
        return _port(desc, index, side, f"mdl.get_{one}_data_type").kind

    return {
        f"get_num_{side}": count,
        f"get_{one}_size_by_index": size,
        f"get_{one}_name_by_index": name,
        f"get_{one}_dims": dims,
        f"get_{one}_data_type": data_type,
    }


@call("mdl.get_cur_output_dims", lambda code: ({}, code), int, int)
def _get_cur_output_dims(desc: int, index: int) -> tuple[dict[str, Any], int]:
    port = _port(desc, index, "outputs", "mdl.get_cur_output_dims")
    model = _described(desc, "mdl.get_cur_output_dims")
    rows = model.gear or max(_gears(model), default=port.shape[0])
    shape = [rows, *port.shape[1:]]
    return {"name": port.name, "dimCount": len(shape), "dims": shape}, SUCCESS


@call("mdl.get_dynamic_batch", lambda code: ({}, code), int)
def _get_dynamic_batch(desc: int) -> tuple[dict[str, Any], int]:
    gears = _gears(_described(desc, "mdl.get_dynamic_batch"))
    # The list has room for 128, of which the first batchCount count.
    return {"batchCount": len(gears), "batch": [*gears, *[0] * (128 - len(gears))]}, SUCCESS


@call("mdl.create_dataset", NOTHING)
def _create_dataset() -> int:
    return stand_in.new(Dataset())


@call("mdl.destroy_dataset", CODE, int)
def _destroy_dataset(dataset: int) -> int:
    stand_in.drop(dataset, Dataset, "mdl.destroy_dataset")
    return SUCCESS


@call("mdl.add_dataset_buffer", PAIR, int, int)
def _add_dataset_buffer(dataset: int, buffer: int) -> tuple[int, int]:
    found = stand_in.get(dataset, Dataset, "mdl.add_dataset_buffer")
    stand_in.get(buffer, Buffer, "mdl.add_dataset_buffer")
    if buffer in found.buffers:
        raise stand_in.wrong("mdl.add_dataset_buffer of the same buffer twice")
    found.buffers.append(buffer)
    return dataset, SUCCESS


@call("mdl.set_dynamic_batch_size", CODE, int, int, int, int)
def _set_dynamic_batch_size(model: int, dataset: int, index: int, batch: int) -> int:
    name = "mdl.set_dynamic_batch_size"
    found, given = stand_in.get(model, Model, name), stand_in.get(dataset, Dataset, name)
    ports = _ports(found, "inputs")
    if not _gears(found):
        return stand_in.fail(NOT_DYNAMIC, "the model has no gears")
    if not 0 <= index < len(ports) or ports[index].name != GEARS:
        raise stand_in.wrong(f"{name}: input {index} is not {GEARS}")
    if batch not in _gears(found):
        return stand_in.fail(NO_SUCH_GEAR, f"{batch} is none of {_gears(found)}")
    given.gear = found.gear = batch
    return SUCCESS


def _memories(dataset: int, ports: list[Port], what: str) -> list[Memory] | None:
    """The memory of each; None where it does not fit the model."""
    buffers = stand_in.get(dataset, Dataset, "mdl.execute").buffers
    if len(buffers) != len(ports):
        stand_in.fail(0, f"{len(buffers)} {what} for {len(ports)}")
        return None
    found = []
    for number, port in zip(buffers, ports, strict=True):
        buffer = stand_in.get(number, Buffer, "mdl.execute")
        if buffer.size < port.size:
            stand_in.fail(0, f"{buffer.size} bytes for {port.size} of {port.name}")
            return None
        found.append(stand_in.get(buffer.address, Memory, "mdl.execute"))
    return found


@call("mdl.execute", CODE, int, int, int)
def _execute(model: int, given: int, made: int) -> int:
    found = stand_in.get(model, Model, "mdl.execute")
    context = stand_in.context("mdl.execute")
    if context is None:
        return stand_in.fail(NO_CONTEXT, "no context in this thread")
    if context != found.context:
        return stand_in.fail(MODEL_CONTEXT, "loaded in another context")
    ports, results = _ports(found, "inputs"), _ports(found, "outputs")
    inputs = _memories(given, ports, "inputs")
    if inputs is None:
        return INPUT_NOT_MATCH
    outputs = _memories(made, results, "outputs")
    if outputs is None:
        return OUTPUT_NOT_MATCH
    gear = stand_in.get(given, Dataset, "mdl.execute").gear
    if _gears(found) and gear is None:
        return stand_in.fail(INPUT_NOT_MATCH, "no gear was set")
    feed = {}
    for port, memory, value in zip(ports, inputs, found.session.get_inputs(), strict=False):
        shape = (gear, *port.shape[1:]) if gear else port.shape
        dtype = TYPES[value.type][1]
        count = int(np.prod(shape, dtype=np.int64))
        feed[value.name] = np.frombuffer(memory.bytes, dtype, count).reshape(shape)
    found.executions += 1
    for memory, array in zip(outputs, found.session.run(None, feed), strict=True):
        data = np.ascontiguousarray(array).tobytes()
        memory.bytes[: len(data)] = data
    return SUCCESS


def _module(name: str, functions: dict[str, Callable[..., Any]]) -> types.ModuleType:
    module = types.ModuleType(f"acl.{name}")
    module.__dict__.update(functions)
    return module


rt = _module(
    "rt",
    {
        "get_device_count": _get_device_count, "get_run_mode": _get_run_mode, "set_device": _set_device,
        "reset_device": _reset_device, "create_context": _create_context, "set_context": _set_context,
        "destroy_context": _destroy_context, "malloc": _malloc, "malloc_host": _malloc_host,
        "free": _free, "free_host": _free_host, "memcpy": _memcpy,
    },
)  # fmt: skip
mdl = _module(
    "mdl",
    {
        "load_from_file": _load_from_file, "unload": _unload, "create_desc": _create_desc,
        "destroy_desc": _destroy_desc, "get_desc": _get_desc, "execute": _execute,
        **_io("inputs", "input"), **_io("outputs", "output"),
        "get_cur_output_dims": _get_cur_output_dims, "get_dynamic_batch": _get_dynamic_batch,
        "create_dataset": _create_dataset, "destroy_dataset": _destroy_dataset,
        "add_dataset_buffer": _add_dataset_buffer, "set_dynamic_batch_size": _set_dynamic_batch_size,
    },
)  # fmt: skip
