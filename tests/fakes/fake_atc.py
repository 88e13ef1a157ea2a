"""Ascend's atc, as far as its documents and its public source tell what it takes and does.

Strict about argv: unknown flags, words that are no flags, values outside of the documented ones, shapes
that do not fit the model and shapes that stay open are errors with atc's codes and wording.  What it
writes is the container of om.py.  It leaves kernel_meta/ and fusion_result.json in the current folder, as
atc does.

It refuses what a real one is known to refuse: operators without a parser (Einsum), opsets above 18, double
precision, several domains, and on 310 chips convolutions that must stay float32.  Whether a real one
takes all that this one takes cannot be known without a toolkit.

The wording of the error for an unknown --soc_version is assumed; the others are quoted from logs.

FAKE_ATC_FAULT makes it fail on purpose; see FAULTS.  FAKE_ATC_SOCS replaces the chips that it knows.
FAKE_ATC_CALLS names a file to which every call's argv is appended, a JSON list a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import onnx
from fake_atc_flags import known_flags
from om import read_om, write_om
from onnx import TensorProto, numpy_helper, shape_inference

FAULTS = {
    "no-om": "success, and no file",
    "empty-om": "success, and an empty file",
    "two-oms": "success, and two files that fit the name",
    "suffix": "the host's system in the file's name, as newer versions put it",
    "hang": "a child process that outlives it, and no end; FAKE_ATC_PID names a file for its id",
    "crash": "death by a signal in the middle, droppings and half a file left behind",
    "no-library": "the loader finds no libascend_hal.so",
    "no-module": "its Python lacks a module",
    "float": "whatever was asked for, layers are float32",
    "half": "whatever was asked for, layers are float16",
    "no-list": "the list of layers fails",
    "bad-list": "the list of layers is no JSON",
    "no-kernels": "no kernels for this chip are installed",
    "inner": "an inner error without advice",
}
FLAGS = known_flags()
# Of the flags that have a list of values.
VALUES = {
    "mode": {"0", "1", "3", "5", "6"},
    "framework": {"0", "1", "3", "5"},
    "input_format": {"NCHW", "ND", "NCDHW"},
    "log": {"debug", "info", "warning", "error", "null"},
    "precision_mode": {
        *("force_fp16", "force_fp32", "cube_fp16in_fp32out", "allow_mix_precision"),
        *("allow_fp32_to_fp16", "must_keep_origin_dtype", "allow_mix_precision_fp16"),
        *("allow_mix_precision_bf16", "allow_fp32_to_bf16"),
    },
    "precision_mode_v2": {
        *("fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16"),
        *("cube_hif8", "mixed_hif8"),
    },
}
SOCS = (
    "Ascend310 Ascend310P1 Ascend310P3 Ascend310B1 Ascend310B4 Ascend910A Ascend910B Ascend910B1 "
    "Ascend910B2 Ascend910B3 Ascend910B4 Ascend910_9391"
)
PARSED_TEXT = """\
Abs Add AveragePool BatchNormalization Cast Clip Concat Constant Conv Div Exp Flatten Gather Gemm
GlobalAveragePool Identity LeakyRelu MatMul MaxPool Mul Pad Pow ReduceMax ReduceMean ReduceSum
Relu Reshape Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze
"""
PARSED = set(PARSED_TEXT.split())
MAX_OPSET = 18
# What an operator is called on the chip.
TYPES = {"Conv": "Conv2D", "MatMul": "BatchMatMulV2", "Gemm": "MatMulV2", "Softmax": "SoftmaxV2"}
HEAVY = ("Conv", "MatMul", "Gemm")
SAYS = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"


def main() -> None:
    """Convert, list, or fail."""
    flags = _flags(sys.argv[1:])
    if path := os.environ.get("FAKE_ATC_CALLS"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(sys.argv) + "\n")
    fault = os.environ.get("FAKE_ATC_FAULT", "")
    if fault and fault not in FAULTS:
        raise SystemExit(f"FAKE_ATC_FAULT={fault!r} is none of {', '.join(FAULTS)}")
    if fault == "no-library":
        print(
            "atc.bin: error while loading shared libraries: libascend_hal.so: cannot open shared object "
            "file: No such file or directory"
        )
        sys.exit(127)
    print("ATC start working now, please wait for a moment.", flush=True)
    if not os.environ.get("ASCEND_OPP_PATH"):
        _fail("E19999", "Inner Error! [Check][Param] the environment ASCEND_OPP_PATH is not set.")
    _check_values(flags)
    if flags.get("mode", "0") == "1":
        _list(flags, fault)
    elif flags.get("mode", "0") == "0":
        _convert(flags, fault)
    else:
        raise SystemExit(f"the stand-in has no mode {flags['mode']}")
    print("ATC run success, welcome to the next use.")


def _fail(code: str, *lines: str, solution: str = "") -> NoReturn:
    """As newer versions print: with process and time before the message."""
    stamp = "[PID: 10490] 2025-03-18-09:02:18.501.341 " if os.environ.get("FAKE_ATC_STAMP") else ""
    print(SAYS)
    print(f"{code}: {stamp}{lines[0]}")
    if solution:
        print(f"        Solution: {solution}")
    if lines[1:]:
        print("        TraceBack (most recent call last):")
        for line in lines[1:]:
            print(f"        {line}")
    sys.exit(255)


# ---- arguments -------------------------------------------------------------------------------


def _flags(words: list[str]) -> dict[str, str]:
    """--name=value each, as the documents write them."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in FLAGS:
            print(f"ERROR: unknown command line flag '{word}'")
            sys.exit(1)
        if name in found:
            print(f"ERROR: flag '{name}' was specified more than once")
            sys.exit(1)
        found[name] = value
    return found


def _check_values(flags: dict[str, str]) -> None:
    for name, value in flags.items():
        if name in VALUES and value not in VALUES[name]:
            _fail(
                "E10001",
                f"Value [{value}] for parameter [--{name}] is invalid. Reason: The value must be one of "
                f"{sorted(VALUES[name])}.",
                solution="Try again with a valid argument.",
            )
    if "precision_mode" in flags and "precision_mode_v2" in flags:
        _fail("E10001", "Value [--precision_mode] for parameter [--precision_mode_v2] is invalid. "
              "Reason: The two cannot be used together.")  # fmt: skip


def _need(flags: dict[str, str], name: str) -> str:
    if not flags.get(name):
        _fail("E10004", f"Value for [--{name}] is empty.")
    return flags[name]


# ---- ONNX to OM ------------------------------------------------------------------------------


def _convert(flags: dict[str, str], fault: str) -> None:
    if "framework" not in flags:
        _fail(
            "E10007",
            "[--framework] is required. The value must be [0(Caffe) or 1(MindSpore) or 3(TensorFlow) or "
            "5(Onnx)].",
        )
    if flags["framework"] != "5":
        raise SystemExit("the stand-in reads ONNX alone")
    path, output = Path(_need(flags, "model")), Path(_need(flags, "output"))
    soc = _need(flags, "soc_version")
    if soc not in os.environ.get("FAKE_ATC_SOCS", SOCS).split():
        _fail(
            "E10001",
            f"Value [{soc}] for parameter [--soc_version] is invalid. Reason: The soc version is not "
            "supported.",
            solution="Try again with a valid argument.",
        )
    if not path.is_file():
        _fail("E19000", f"Path[{path}]'s realpath is empty, errmsg[The file path does not exist]")
    if not output.parent.is_dir() or output.suffix == ".om":
        _fail("E10001", f"Value [{output}] for parameter [--output] is invalid. Reason: no such folder, "
              "or a suffix that is appended anyway.")  # fmt: skip
    # Droppings come before the result, and stay when there is none.
    Path("kernel_meta").mkdir(exist_ok=True)
    Path("kernel_meta", "te_conv2d_0.json").write_text("{}", encoding="utf-8")
    _wreck(fault, output)
    model = onnx.load(str(path))
    _check_graph(model)
    inputs = _fix_shapes(model, flags.get("input_shape", ""))
    mode = _mode(flags)
    _check_engine(model, soc, mode, fault)
    Path("fusion_result.json").write_text('{"session_and_graph_id_0_0": {}}', encoding="utf-8")
    _write(model, output, fault, {"soc_version": soc, "precision_mode": mode, "inputs": inputs})


def _mode(flags: dict[str, str]) -> str:
    old = {
        "fp16": "force_fp16",
        "origin": "must_keep_origin_dtype",
        "mixed_float16": "allow_mix_precision",
    }
    said = flags.get("precision_mode_v2")
    return old.get(said, said) if said else flags.get("precision_mode", "force_fp16")


def _wreck(fault: str, output: Path) -> None:
    if fault == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if pid := os.environ.get("FAKE_ATC_PID"):
            Path(pid).write_text(str(child.pid), encoding="utf-8")
        time.sleep(600)
    if fault == "crash":
        Path(f"{output}.om").write_bytes(b"half")
        os.abort()
    if fault == "no-module":
        _fail(
            "EC0010",
            "Failed to import Python module [ModuleNotFoundError: No module named 'decorator'.].",
            "AOE Failed to call InitCannKB[FUNC:Initialize][FILE:python_adapter_manager.cc][LINE:47]",
            solution="Check that all required components are properly installed.",
        )
    if fault == "inner":
        _fail("E19999", "Inner Error!", "build graph failed, graph id:0, ret:-1[FUNC:BuildModel]")


def _refuse(nodes: list[Any], opset: int) -> None:
    texts = [
        f"No parser is registered for Op [{node.name}, optype [ai.onnx::{opset}::{node.op_type}]]."
        for node in nodes
    ]
    if texts:
        _fail(
            "E19010",
            *texts,
            "ATC model parse ret fail.[FUNC:ParseGraph][FILE:omg.cc][LINE:787]",
            solution="Check the version of the installation package and reinstall the package.",
        )


def _check_graph(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    if len(model.opset_import) != 1:
        _fail("E16005", f"The model has [{len(model.opset_import)}] --domain_version-- fields, but only "
              "one is allowed.")  # fmt: skip
    opset = model.opset_import[0].version
    nodes = list(model.graph.node)
    _refuse(nodes if opset > MAX_OPSET else [n for n in nodes if n.op_type not in PARSED], opset)
    if any(one.data_type == TensorProto.DOUBLE for one in model.graph.initializer):
        _fail("EZ3002", "Optype [Const] of Ops kernel [AIcoreEngine] is unsupported. Reason: The data type "
              "DT_DOUBLE is not supported.")  # fmt: skip


def _fix_shapes(model: onnx.ModelProto, text: str) -> dict[str, list[int]]:
    """Set the shapes that are asked for; every input must have one then."""
    asked: dict[str, list[int]] = {}
    for part in filter(None, text.split(";")):
        name, _, sizes = part.rpartition(":")
        try:
            asked[name] = [int(size) for size in sizes.split(",")]
        except ValueError:
            _fail(
                "E10005",
                f"Value [{sizes}] for parameter [--input_shape] is invalid. Reason: not digits.",
            )
    inputs = {value.name: value for value in model.graph.input}
    for name in asked:
        if name not in inputs:
            _fail("E10016", f"Opname [{name}] specified in [--input_shape] is not found in the model. "
                  "Please check the model file.")  # fmt: skip
    fixed: dict[str, list[int]] = {}
    for name, value in inputs.items():
        dims = value.type.tensor_type.shape.dim
        own = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]
        sizes = asked.get(name, own)
        if len(sizes) != len(own) or any(
            o not in (-1, s) for o, s in zip(own, sizes, strict=False)
        ):
            _fail("E19025", f"Input tensor is invalid. Reason: shape {sizes} of [{name}] does not fit "
                  f"{own} of the model.")  # fmt: skip
        if any(size < 1 for size in sizes):
            _fail("E10001", f"Value [-1] for parameter [{name}] is invalid. Reason: maybe you should set "
                  "input_shape to specify its shape.")  # fmt: skip
        for dim, size in zip(dims, sizes, strict=True):
            dim.ClearField("dim_param")
            dim.dim_value = size
        fixed[name] = sizes
    return fixed


def _check_engine(model: onnx.ModelProto, soc: str, mode: str, fault: str) -> None:
    """310 chips have no float32 convolution."""
    half = any(one.data_type == TensorProto.FLOAT16 for one in model.graph.initializer)
    bare = soc.startswith("Ascend310") and mode in ("must_keep_origin_dtype", "force_fp32")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if (bare and not half and convolutions) or fault == "no-kernels":
        why = "The data type of input is not supported: DT_FLOAT."
        _fail(
            "EZ3002",
            f"Optype [Conv2D] of Ops kernel [AIcoreEngine] is unsupported. Reason: {why}",
            *(
                f"No supported Ops kernel and engine are found for [{node.name}], optype [Conv2D]."
                for node in convolutions
            ),
            solution="Submit an issue to request for support, or remove this type of operators.",
        )


def _write(model: onnx.ModelProto, output: Path, fault: str, meta: dict[str, Any]) -> None:
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.graph.output
    }
    batch = next(iter(meta["inputs"].values()))[0]
    if any(size < 1 for shape in shapes.values() for size in shape):
        _fail(
            "E10001", f"Value [-1] for parameter [output] is invalid. Reason: {shapes} stays open."
        )
    name = f"{output}_linux_x86_64.om" if fault == "suffix" else f"{output}.om"
    if fault == "no-om":
        return
    if fault == "empty-om":
        Path(name).touch()
        return
    write_om(name, inferred.SerializeToString(), {**meta, "batch": batch, "outputs": shapes})
    if fault == "two-oms":
        Path(f"{output}_original.om").write_bytes(Path(name).read_bytes())


# ---- the list of layers ----------------------------------------------------------------------


def _list(flags: dict[str, str], fault: str) -> None:
    path, target = Path(_need(flags, "om")), Path(_need(flags, "json"))
    if extra := set(flags) - {"mode", "om", "json"}:
        raise SystemExit(f"--mode=1 of an OM takes no {sorted(extra)}")
    if fault == "no-list":
        _fail("E19999", "Inner Error!")
    data, meta = read_om(path)
    if fault == "bad-list":
        target.write_text("{", encoding="utf-8")
        return
    model = onnx.load_from_string(data)
    half = any(numpy_helper.to_array(one).dtype == "float16" for one in model.graph.initializer)
    operators = [_operator("Data", name, "DT_FLOAT") for name in meta["inputs"]]
    operators.append(_operator("TransData", "trans_0", "DT_FLOAT"))
    operators += [
        _operator(
            TYPES.get(node.op_type, node.op_type),
            node.name,
            _dtype(meta["precision_mode"], node.op_type, fault, half=half),
        )
        for node in model.graph.node
        if node.op_type != "Constant"
    ]
    operators.append(_operator("NetOutput", "Node_Output", "DT_FLOAT"))
    target.write_text(json.dumps({"graph": [{"name": "model", "op": operators}]}), encoding="utf-8")


def _dtype(mode: str, kind: str, fault: str, *, half: bool) -> str:
    if fault in ("float", "half"):
        return "DT_FLOAT" if fault == "float" else "DT_FLOAT16"
    lowered = mode == "force_fp16" or (mode == "allow_mix_precision" and kind in HEAVY)
    # Softmax is a layer that exists in float32 alone on some chips.
    return "DT_FLOAT16" if (lowered or half) and kind != "Softmax" else "DT_FLOAT"


def _operator(kind: str, name: str, dtype: str) -> dict[str, Any]:
    tensor = {"dtype": dtype, "layout": "ND", "shape": {"dim": [1]}}
    return {"name": name, "type": kind, "input_desc": [tensor], "output_desc": [tensor]}
