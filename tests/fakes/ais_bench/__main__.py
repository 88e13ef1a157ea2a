"""Does what ais_bench 0.0.2 does by its source, and refuses what that would refuse.

FAKE_AIS_BENCH_VERSION=ait does as the later versions: other words in the log, a key of the summary with
spaces in it, checked paths, no absolute --output_dirname.
Source: Ascend/tools ais_infer at 4ce01e33; ait benchmark at 0784598f, 3e008a42.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from pathlib import Path

# `python -m` has the folder of the package on the path, not what stands beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from fake_device import Fault, Npu

LATER = os.environ.get("FAKE_AIS_BENCH_VERSION") == "ait"
PADDING = "padding_infer_fake_file"
PURE = "pure_infer_data"
ILLEGAL = re.compile(r"[^_A-Za-z0-9/.-]")


def log(text: str) -> None:
    print(f"[INFO] {text}", flush=True)


def stop(text: str) -> None:
    print(f"[ERROR] {text}", flush=True)
    raise RuntimeError


def boolean(value: str) -> bool:
    if value.lower() in ("yes", "true", "t", "y", "1"):
        return True
    if value.lower() in ("no", "false", "f", "n", "0"):
        return False
    raise argparse.ArgumentTypeError("Boolean value expected true, 1, false, 0")


def positive(value: str) -> int:
    if int(value) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is an invalid positive int value")
    return int(value)


def natural(value: str) -> int:
    if int(value) < 0:
        raise argparse.ArgumentTypeError(f"{value} is an invalid nonnegative int value")
    return int(value)


def device(value: str) -> int:
    if not 0 <= int(value) <= 255:
        raise argparse.ArgumentTypeError(f"device:{value} is invalid. valid range is [0, 255]")
    return int(value)


def legal(path: str) -> str:
    """Later versions look at every path."""
    if LATER and any(ILLEGAL.search(part) for part in path.split(",")):
        print(f"[ERROR] path:{path} contains illegal char")
        raise argparse.ArgumentTypeError(f"path:{path} is illegal. Please check.")
    return path


def arguments() -> argparse.Namespace:
    """All options of the documentation; those that change what is run are refused by the caller."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", "-m", required=True, type=legal)
    parser.add_argument("--input", "-i", default=None, type=legal)
    parser.add_argument("--output", "-o", default=None, type=legal)
    parser.add_argument("--output_dirname", default=None, type=legal)
    parser.add_argument("--outfmt", default="BIN", choices=["NPY", "BIN", "TXT"])
    parser.add_argument("--loop", "-l", type=positive, default=1)
    parser.add_argument("--debug", type=boolean, default=False)
    parser.add_argument("--device", "-d", type=device, default=0)
    parser.add_argument("--batchsize", type=positive, default=None)
    parser.add_argument("--pure_data_type", default="zero", choices=["zero", "random"])
    parser.add_argument("--output_batchsize_axis", type=natural, default=0)
    parser.add_argument("--run_mode", default="array", choices=["array", "files", "tensor", "full"])
    parser.add_argument("--display_all_summary", type=boolean, default=False)
    parser.add_argument("--warmup_count", type=natural, default=1)
    for name in ("--dymBatch", "--dymHW", "--dymDims", "--dymShape", "--outputSize",
                 "--auto_set_dymshape_mode", "--auto_set_dymdims_mode", "--profiler", "--dump",
                 "--acl_json_path", "--dymShape_range"):  # fmt: skip
        parser.add_argument(name, default=None)
    args = parser.parse_args()
    dynamic = [name for name in vars(args) if name.startswith(("dym", "auto_set", "outputSize"))]
    assert not any(vars(args)[name] for name in dynamic), "the stand-in knows static OMs only"
    assert args.outfmt == "BIN", "the stand-in writes BIN only"
    if args.output is None and args.output_dirname is not None:
        stop("parameter --output_dirname cann't be used alone.")
    if LATER and args.output_dirname and args.output_dirname.startswith("/"):
        raise ValueError("--output_dirname do not support abs path!")
    if not args.model.endswith(".om") or not Path(args.model).is_file():
        stop(f"load model from file failed, model file is {args.model}")
    return args


def natural_sort(names: list[str]) -> list[str]:
    def key(text: str) -> list[object]:
        return [
            int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", text)
        ]

    return sorted(names, key=key)


def files_of(folder: str) -> list[str]:
    """What lies in a folder itself; what lies in folders below is not seen."""
    found = [
        os.path.join(folder, name)  # noqa: PTH118 - as the tool does, for the order
        for name in os.listdir(folder)  # noqa: PTH208
        if name.endswith((".npy", ".NPY", ".bin", ".BIN"))
    ]
    if not found:
        stop(f"not find valid [*.npy *.NPY *.bin *.BIN] files:{found}")
    return natural_sort(sorted(found))


def batches(inputs: list[str], npu: Npu) -> list[list[list[str]]]:
    """Calls -> inputs -> files."""
    if any(not Path(one).is_dir() for one in inputs):
        stop(f"Invalid args. {inputs[0]}  of --input is invalid")
    if len(inputs) != len(npu.inputs):
        stop(
            f"Invalid args. args input dir num:{len(inputs)} not equal to model inputs num:"
            f"{len(npu.inputs)}"
        )
    lists = [files_of(folder) for folder in inputs]
    size, tensor = Path(lists[0][0]).stat().st_size, npu.size(0)
    if size == 0 or tensor % size:
        stop(f"arg0 tensorsize: {tensor} filesize: {size} not match")
    each = tensor // size
    runs = math.ceil(len(lists[0]) / each)
    log(f"get filesperbatch files0 size:{size} tensor0size:{tensor} filesperbatch:{each} "
        f"runcount:{runs}")  # fmt: skip
    made = []
    for run in range(runs):
        parts = [files[run * each : (run + 1) * each] for files in lists]
        made.append([part + [PADDING] * (each - len(part)) for part in parts])
    return made


def content(files: list[str], size: int) -> bytes:
    """The bytes of a call's input; padding is its first file again."""
    joined = b"".join(Path(files[0] if one == PADDING else one).read_bytes() for one in files)
    if len(joined) != size:
        stop(f"ndata size:{len(joined)} not match {size}")
    return joined


def save(outputs: list[np.ndarray], call: list[list[str]], folder: Path, axis: int) -> None:
    files = call[0]
    for number, output in enumerate(outputs):
        if axis >= output.ndim or output.shape[axis] % len(files):
            stop(f"save out files error array shape:{output.shape} filesinfo:{call}")
        for name, part in zip(files, np.array_split(output, len(files), axis), strict=True):
            if name == PADDING:
                continue
            stem = Path(name).name.split(".")[0]
            part.tofile(folder / f"{stem}_{number}.bin")


def facts(times: list[float]) -> dict[str, float]:
    values = times or [0.0]
    key = f"percentile({99}%{' ' * 36 if LATER else ''})"
    return {
        "min": float(np.min(values)),
        "max": float(np.max(values)),
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        key: float(np.percentile(values, 99)),
        "count": len(times),
    }


def report(args: argparse.Namespace, npu: Npu, copies: list[float], prefix: Path | None) -> None:
    summary = {
        "filesinfo": {},
        "args": sys.argv,
        "NPU_compute_time": facts(npu.times_ms),
        "H2D_latency": facts(copies),
        "D2H_latency": facts(copies),
        "throughput": 1000 * args.batchsize / float(np.mean(npu.times_ms)),
        "npu_compute_time_list": npu.times_ms,
        "pid": os.getpid(),
    }
    log("-----------------Performance Summary------------------")
    for key in ("H2D_latency", "NPU_compute_time", "D2H_latency"):
        if key == "NPU_compute_time" or args.display_all_summary:
            low, high, mean, median, p99, _ = summary[key].values()
            log(f"{key} (ms): min = {low}, max = {high}, mean = {mean}, median = {median}, "
                f"percentile(99%) = {p99}")  # fmt: skip
    mean = summary["NPU_compute_time"]["mean"]
    word = "batchsize.mean" if LATER else "batchsize"
    log(f"throughput 1000*{word}({args.batchsize})/NPU_compute_time.mean({mean}): "
        f"{summary['throughput']}")  # fmt: skip
    log("------------------------------------------------------")
    if prefix is not None:
        with Path(f"{prefix}_summary.json").open("w", encoding="utf-8") as file:
            json.dump(summary, file)


def main() -> None:
    args = arguments()
    fault = Fault()
    if fault.kind == "exit":
        print("[ERROR] open device 0 failed, ret = 507033", flush=True)
        sys.exit(fault.number)
    if fault.kind == "silent":
        return
    log("acl init success")
    log(f"open device {args.device} success")
    npu = Npu(Path(args.model))
    log(f"load model {args.model} success")
    batch = npu.inputs[0][1][0]
    args.batchsize = args.batchsize or batch
    prefix = None
    if args.output is not None:
        name = args.output_dirname or time.strftime("%Y_%m_%d-%H_%M_%S")
        prefix = Path(args.output) / name
        prefix.mkdir(parents=True, exist_ok=True)
        if LATER:
            Path(args.output).chmod(0o750)
        log(f"output path:{prefix}")
    sizes = [npu.size(index) for index in range(len(npu.inputs))]
    calls = [] if args.input is None else batches(args.input.split(","), npu)
    first = (
        [content(files, size) for files, size in zip(calls[0], sizes, strict=True)]
        if calls
        else None
    )
    for _ in range(args.warmup_count):
        npu.run(first or [bytes(size) for size in sizes])
    npu.times_ms.clear()
    log(f"warm up {args.warmup_count} done")
    copies: list[float] = []
    # The tool's own droppings, which lie about and are nobody's results.
    Path("kernel_meta").mkdir(exist_ok=True)
    for number, call in enumerate(calls or [[[PURE]] * len(sizes)]):
        start = time.perf_counter()
        buffers = (
            [content(files, size) for files, size in zip(call, sizes, strict=True)]
            if calls
            else [bytes(size) for size in sizes]
        )
        copies.append((time.perf_counter() - start) * 1e3)
        for _ in range(args.loop):
            outputs = npu.run(buffers)
        if prefix is not None:
            save(outputs, call, prefix, args.output_batchsize_axis)
        sys.stdout.write(f"\rInference array Processing: {number + 1}/{len(calls)} [00:01<00:00]")
    print(flush=True)
    if prefix is not None and args.input is not None:
        fault.spoil(prefix, "{}_0.bin")
    report(args, npu, copies, prefix)
    log("unload model success, model Id is 1")


if __name__ == "__main__":
    main()
