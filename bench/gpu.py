"""The benchmark on a GPU without TensorRT: bench/cuda.md and bench/cuda.json.

This file must not be called cuda.py: PyTorch would find it in the place of NVIDIA's package `cuda`.

    python bench/gpu.py [--duration 5] [--rounds 4] [--compile] [--out FOLDER]

PyTorch eager against the backend torch-cuda, on the Jetson guides' network with one and five persons, for
batches of 1, 8 and 64.  Each contender runs alone in its process; rounds are interleaved; a call goes from
arrays of the host to scores on the host.  Before anything is timed, what each form of ours computes is
compared with the reference form on the GPU.  Without a GPU nothing is measured and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES, Case, write_checkpoint

from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.exporter.reference import Float64Reference
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, Contender, run_bench
from stgcn_deploy.measure.tolerances import tolerance_for
from stgcn_deploy.torchrun.network import Network
from stgcn_deploy.torchrun.session import open_session

HERE = Path(__file__).parent
NAMES = ("twostream-v33-t150-m1", "twostream-v33-t150-m5")
BATCHES = (1, 8, 64)
WORKER = "stgcn_deploy.exporter.cuda_worker"
NO_GPU = 3
# Title -> how the session is opened.
OURS: dict[str, dict[str, Any]] = {
    "ours fp32, call by call": {"precision": "fp32", "graphs": False},
    "ours fp32, CUDA graph": {"precision": "fp32", "graphs": True},
    "ours bf16, CUDA graph": {"precision": "bf16", "graphs": True},
    "ours fp16, CUDA graph": {"precision": "fp16", "graphs": True},
    "ours fp16, CUDA graph, channels last": {
        "precision": "fp16", "graphs": True, "channels_last": True
    },
}  # fmt: skip
COMPILED = {
    "ours fp16, CUDA graph, compiled": {"precision": "fp16", "graphs": True, "compiled": True}
}
EAGER = {"PyTorch eager fp32": "eager", "PyTorch eager fp16 (autocast)": "eager-fp16"}
DEFAULTS = {"compiled": False, "channels_last": False}


def say(text: str) -> None:
    """Progress."""
    print(f"  {text}", file=sys.stderr)


def gpu() -> dict[str, str]:
    """The GPU, and what it runs with."""
    found = {
        "gpu": torch.cuda.get_device_name(),
        "compute capability": "{}.{}".format(*torch.cuda.get_device_capability()),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
    tool = shutil.which("nvidia-smi")
    if tool:
        asked = "driver_version,clocks.sm,clocks.max.sm,power.limit,persistence_mode"
        done = subprocess.run(
            [tool, f"--query-gpu={asked}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        rows = done.stdout.strip().splitlines()
        values = rows[0].split(", ") if rows else []
        found.update(zip(asked.split(","), values, strict=False))
    return found


def parity(case: Case, checkpoint: Path, model: Path, ours: dict[str, Any]) -> dict[str, float]:
    """Error of the logits of each form on the GPU, relative to their scale.

    Raises:
        SystemExit: one is further away than the tolerance on record.
    """
    loaded = load_checkpoint(checkpoint, Hints(frames=case.frames, persons=case.persons))
    reference = Float64Reference(loaded.network, loaded.spec.inputs)
    size = (2, case.persons, case.frames, case.spec.num_joints, case.spec.in_channels)
    batch = np.random.default_rng(1).normal(0, 1, size).astype(np.float32)
    wanted = reference(batch)
    errors = {}
    for title, options in ours.items():
        with open_session(model, tap="logits", **options) as session:
            (spec,) = loaded.spec.inputs
            feed = {session.inputs[0].name: spec.make(batch)}
            for _ in range(3):  # plainly, and from the captured graph
                found = session.run(feed)["logits"]
        errors[title] = float(np.abs(found - wanted).max() / max(1, np.abs(wanted).max()))
        allowed = tolerance_for("torch-cuda", options["precision"]).error
        say(f"{title}: error {errors[title]:.1e}, allowed {allowed:.0e}")
        if not errors[title] <= allowed:
            sys.exit(f"{title} computes something else: {errors[title]:.3g} > {allowed:.3g}")
    return errors


def contenders(
    checkpoint: Path, model: Path, shapes: dict[str, list[int]], batch: int, ours: dict[str, Any]
) -> list[Contender]:
    """Eager and ours, for one batch size."""
    common = {"shapes": shapes, "threads": 2, "device": "cuda"}
    found = [
        Contender(title, WORKER, {**common, "mode": mode, "checkpoint": str(checkpoint)}, batch)
        for title, mode in EAGER.items()
    ]
    for title, options in ours.items():
        how = {**common, "mode": "ours", "model": str(model), **DEFAULTS, **options}
        found.append(Contender(title, WORKER, how, batch))
    return found


def table(report: BenchReport, errors: dict[str, float]) -> list[str]:
    """One batch size, as lines of Markdown."""
    eager = report.rows[0].percentile(50)
    lines = [
        "| | p50 ms | p99 ms | clips/s | speed, eager fp32 = 1 | error of logits |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in report.rows:
        if row.error:
            lines.append(f"| {row.name} | {row.error} | | | | |")
            continue
        error = f"{errors[row.name]:.1e}" if row.name in errors else ""
        lines.append(
            f"| {row.name} | {row.percentile(50):.3f} | {row.percentile(99):.3f} | "
            f"{row.clips_per_s:.0f} | {eager / row.percentile(50):.2f}x | {error} |"
        )
    return lines


def calls(model: Path, shapes: dict[str, list[int]]) -> int:
    """Tensor calls of one run: at least so many kernels would be launched one by one."""
    program = Network(model, device=torch.device("cpu")).program(
        {name: tuple(shape) for name, shape in shapes.items()}
    )
    return sum(node.op == "call_function" for node in program.graph.nodes)


def measure(case: Case, arguments: argparse.Namespace, raw: dict[str, Any]) -> list[str]:
    """All batch sizes of a case, as lines of Markdown; raw numbers go into `raw`."""
    ours = OURS | (COMPILED if arguments.compile else {})
    lines = [f"## {case.title}", ""]
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, bundle = Path(scratch) / f"{case.name}.pt", Path(scratch) / "bundle"
        write_checkpoint(case, checkpoint)
        size = {"frames": case.frames, "persons": case.persons}
        made = api.export(
            checkpoint, bundle, graph_form=arguments.form, dynamic="batch", verify=False, **size
        )
        model, manifest = bundle / "model.onnx", made.bundle.manifest
        errors = parity(case, checkpoint, model, ours)
        lines += [f"{calls(model, manifest.shapes_at(1))} tensor calls in one run.", ""]
        for batch in BATCHES:
            found = contenders(checkpoint, model, manifest.shapes_at(batch), batch, ours)
            report = run_bench(
                found, duration=arguments.duration, rounds=arguments.rounds, progress=say
            )
            raw[f"{case.name}, batch {batch}"] = report.as_dict()
            lines += [f"### batch {batch}", "", *table(report, errors), ""]
    return lines


def main() -> None:
    """Measure and write, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration", type=float, default=5.0, help="seconds for each contender")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--form", default="aggregate", help="graph form")
    parser.add_argument("--compile", action="store_true", help="torch.compile among the contenders")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            f"no GPU for PyTorch {torch.__version__} here: nothing was measured, nothing written.",
            file=sys.stderr,
        )
        sys.exit(NO_GPU)
    about = gpu()
    raw: dict[str, Any] = {"gpu": about}
    parts = [
        "# PyTorch on a GPU", "",
        "Written by `python bench/gpu.py`; raw samples in [cuda.json](cuda.json). From arrays "
        "of the host to "
        "scores on the host, TF32 off, each contender alone in its process.", "",
        ", ".join(f"{name} {value}" for name, value in about.items()), "",
    ]  # fmt: skip
    for case in CASES:
        if case.name in NAMES:
            print(case.title, file=sys.stderr)
            parts += measure(case, arguments, raw)
    write_text(arguments.out / "cuda.json", json.dumps(raw), force=True)
    write_text(arguments.out / "cuda.md", "\n".join(parts), force=True)
    print(f"wrote {arguments.out / 'cuda.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
