"""Every family against its plain export on ONNX Runtime: bench/families.md and families.json.

    python bench/families.py REFERENCE_FOLDER [--duration 1.5] [--threads 2] [--only NAME]

REFERENCE_FOLDER holds rebuild.py and the networks of the original codebases.  Each graph form and the
plain torch.onnx.export of the unmodified network run in processes of their own, rounds interleaved.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np
import torch

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.exporter.build import native_shapes, write_form
from stgcn_deploy.exporter.contenders import plain_export
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, model_contender, run_bench
from stgcn_deploy.models.families import graph_forms

HERE = Path(__file__).parent
PLAIN = "plain"


def load_reference(folder: Path, name: str, scratch: Path) -> tuple[LoadedCheckpoint, int]:
    """The reference network with its own T and M, and its batch size."""
    real = json.loads((folder / f"{name}.json").read_text()).get("checkpoint")
    if real:  # a trained file, kept beside the rebuilt ones
        path = folder.parent / "data" / real
        shape = np.load(folder / f"{name}.npz")["input_0"].shape
    else:
        spec = importlib.util.spec_from_file_location("reference_rebuild", folder / "rebuild.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        wrapped, inputs, _ = module.checkpoint(name)
        path, shape = scratch / f"{name}.pt", inputs[0].shape
        torch.save(wrapped, path)
    axes = load_checkpoint(path).spec.axes
    persons = shape[axes.index("M")] if "M" in axes else 1
    hints = Hints(frames=shape[axes.index("T")], persons=persons)
    return load_checkpoint(path, hints), shape[0]


def measure(folder: Path, name: str, arguments: argparse.Namespace) -> BenchReport:
    """Plain export and every graph form of one reference."""
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        checkpoint, batch = load_reference(folder, name, scratch)
        options = ExportOptions(batch=batch)
        plain_export(checkpoint, scratch / f"{PLAIN}.onnx", options)
        forms = graph_forms(checkpoint.spec)
        for form in forms:
            write_form(checkpoint, form, scratch / f"{form}.onnx", options)
        contenders = [
            model_contender(
                title,
                str(scratch / f"{title}.onnx"),
                backend="onnxruntime",
                shapes=native_shapes(checkpoint, options),
                batch=batch,
                threads=arguments.threads,
            )
            for title in (PLAIN, *forms)
        ]
        return run_bench(contenders, duration=arguments.duration, rounds=arguments.rounds)


def line(name: str, report: dict[str, Any]) -> tuple[str, float]:
    """One row of the table, and the best form's ratio."""
    times = {row["name"]: row["p50_ms"] for row in report["rows"]}
    plain = times.pop(PLAIN)
    best = min(times, key=times.__getitem__)
    cells = [
        f"{times[form]:.1f}" if form in times else "" for form in ("aggregate", "einsum", "matmul")
    ]
    ratio = plain / times[best]
    return f"| {name} | {plain:.1f} | {' | '.join(cells)} | {best} | {ratio:.2f}x |", ratio


def main() -> None:
    """Measure every reference and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--duration", type=float, default=1.5, help="seconds for each contender")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    names = sorted(
        file.stem for file in arguments.folder.glob("*.json") if arguments.only in (None, file.stem)
    )
    kept = arguments.out / "families.json"
    # One network alone is measured anew among the others' numbers.
    raw = json.loads(kept.read_text()) if arguments.only and kept.is_file() else {}
    for name in names:
        raw[name] = measure(arguments.folder, name, arguments).as_dict()
        print(line(name, raw[name])[0], file=sys.stderr)
    rows, ratios = zip(*(line(name, raw[name]) for name in sorted(raw)), strict=True)
    machine = next(iter(raw.values()))["environment"]
    text = [
        "# Every family against its plain export",
        "",
        f"ONNX Runtime {machine['versions']['onnxruntime']} on {machine['cpu']}, {arguments.threads} "
        "threads, batch and clip size of the reference network; p50 in ms; each graph alone in its "
        "process, rounds interleaved; raw samples in [families.json](families.json). Plain is "
        "`torch.onnx.export` of the unmodified network with default arguments.",
        "",
        "| network | plain | aggregate | einsum | matmul | best | ratio |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Over {len(ratios)} networks the ratio is **{fmean(ratios):.2f}x** on average (geometric mean "
        f"{geometric_mean(ratios):.2f}x), at least {min(ratios):.2f}x.",
        "",
    ]
    write_text(arguments.out / "families.json", json.dumps(raw), force=True)
    write_text(arguments.out / "families.md", "\n".join(text), force=True)


if __name__ == "__main__":
    main()
