"""The tries of docs/design/0006-int8.md and 0007-side-by-side.md; bench/tries.md, tries.json.

    python bench/tries.py [--seconds 4]

On one thread, time of the processor, not of the clock: it says what a graph costs even where other work
goes on, and nothing about how well it spreads over cores.  On two threads, time of the clock: parts one
after the other and side by side.  Weights are random, ranges are of noise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from cases import CASES, Case, write_checkpoint

from stgcn_deploy.backends.base import OpenOptions
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import LoadedCheckpoint, load_checkpoint
from stgcn_deploy.exporter.build import build_bundle
from stgcn_deploy.exporter.contenders import plain_export
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, model_contender, run_bench
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.precision.calibration import from_noise
from stgcn_deploy.precision.int8 import Quantiser
from stgcn_deploy.precision.recipes import BETWEEN, RECIPES, Recipe

HERE = Path(__file__).parent
TRIED = ("twostream-v33-t150-m1", "stgcnpp-v17-t100-m2")
CLIPS, LEAST, WARM_UP, ROUNDS = 16, 9, 3, 4
# Everything in 8 bits but the classifier: what the first layers cost in accuracy is on other pages.
PLAIN = replace(RECIPES[0], keep=(), between=())
INT8: dict[str, tuple[str, Recipe]] = {
    "Conv": ("aggregate", PLAIN),
    "Conv, MatMul": ("aggregate", replace(PLAIN, op_types=("Conv", "MatMul"))),
    "Conv and what stands between": ("aggregate", replace(PLAIN, between=BETWEEN)),
    "Conv, MatMul and what stands between": (
        "aggregate",
        replace(PLAIN, op_types=("Conv", "MatMul"), between=BETWEEN),
    ),
    "the recipe: first graph convolution in float": ("aggregate", RECIPES[0]),
    "first block in float": (
        "aggregate",
        replace(PLAIN, between=BETWEEN, keep=(r"blocks\.0/",)),
    ),
    "Conv, matmul form": ("matmul", PLAIN),
    "Conv, einsum form": ("einsum", PLAIN),
}
Shapes = dict[str, list[int]]


def cpu_times(
    model: Path, backend: str, compute: str, shapes: Shapes, seconds: float
) -> list[float]:
    """Milliseconds of processor time of each call."""
    options = OpenOptions(threads=1, compute=compute)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    samples: list[float] = []
    with BACKENDS[backend].open(model, options) as session:
        for _ in range(WARM_UP):
            session.run(feed)
        end = time.perf_counter() + seconds
        while len(samples) < LEAST or time.perf_counter() < end:
            start = time.process_time()
            session.run(feed)
            samples.append((time.process_time() - start) * 1e3)
    return samples


def graphs(
    checkpoint: LoadedCheckpoint, folder: Path
) -> Iterator[tuple[str, Callable[[Path], object], Bundle]]:
    """Name of a try, what writes its graph, and the bundle that it is made of."""
    made = {
        form: build_bundle(
            checkpoint, folder / form, ExportOptions(graph_form=form), verify=False
        ).bundle
        for form in ("aggregate", "matmul", "einsum")
    }
    base = made["aggregate"]
    yield "plain export, FP32", lambda to: plain_export(checkpoint, to, ExportOptions()), base
    for form, bundle in made.items():
        yield f"{form} form, FP32", _copied(bundle), bundle
    for number, (name, (form, recipe)) in enumerate(INT8.items()):
        scratch = folder / f"int8-{number}"
        scratch.mkdir()
        yield f"INT8: {name}", _quantised(made[form], recipe, scratch), made[form]


def _copied(bundle: Bundle) -> Callable[[Path], object]:
    return lambda to: to.write_bytes(bundle.model_path.read_bytes())


def _quantised(bundle: Bundle, recipe: Recipe, scratch: Path) -> Callable[[Path], None]:
    def write(to: Path) -> None:
        manifest = bundle.manifest
        clips = from_noise(manifest, CLIPS, 0, scratch / "clips")
        quantiser = Quantiser(bundle.model_path, scratch, recipe)
        quantiser.calibrate(manifest, clips, "minmax", lambda _: None)
        quantiser.write(to)

    return write


def tried(case: Case, folder: Path, seconds: float) -> list[dict[str, object]]:
    """A row for each graph on each runtime that takes it."""
    path = folder / f"{case.name}.pt"
    write_checkpoint(case, path)
    checkpoint = load_checkpoint(path, Hints(frames=case.frames, persons=case.persons))
    rows = []
    for number, (name, write, bundle) in enumerate(graphs(checkpoint, folder)):
        model = folder / f"{case.name}-{number}.onnx"
        write(model)
        shapes = bundle.manifest.shapes_at(1)
        for backend, compute in (
            ("onnxruntime", "fp32"),
            ("openvino", "fp32"),
            ("openvino", "bf16"),
        ):
            samples = cpu_times(model, backend, compute, shapes, seconds)
            told = {"graph": name, "backend": backend, "compute": compute, "samples_ms": samples}
            rows.append(told)
            print(f"  {name}, {backend} {compute}: {np.median(samples):.1f}", file=sys.stderr)
    return rows


def in_turn_and_side_by_side(case: Case, folder: Path, seconds: float) -> BenchReport:
    """Parts one after the other and side by side, in FP32 and INT8, on ONNX Runtime and two threads."""
    bundle = Bundle(folder / "aggregate")
    models = {
        "FP32": bundle.model_path,
        "INT8": folder / f"{case.name}-int8.onnx",
    }
    scratch = folder / "two-threads"
    scratch.mkdir()
    _quantised(bundle, RECIPES[0], scratch)(models["INT8"])
    contenders = []
    for precision, model in models.items():
        for how, parallel in (("in turn", False), ("side by side", True)):
            shapes = bundle.manifest.shapes_at(1)
            one = model_contender(f"{precision}, {how}", str(model), backend="onnxruntime",
                                  shapes=shapes, batch=1, threads=2)  # fmt: skip
            one.options["parallel"] = parallel
            contenders.append(one)
    return run_bench(contenders, duration=seconds * ROUNDS, rounds=ROUNDS)


def parts_table(report: BenchReport) -> list[str]:
    """Median and spread of each."""
    lines = ["| | p10 ms | median ms | p90 ms |", "|---|---:|---:|---:|"]
    for row in report.rows:
        cells = " | ".join(f"{row.percentile(q):.1f}" for q in (10, 50, 90))
        lines.append(f"| {row.name} | {cells} |")
    return lines


def table(rows: list[dict[str, object]]) -> list[str]:
    """Medians, a row for each graph."""
    medians = {
        (row["graph"], row["backend"], row["compute"]): float(np.median(row["samples_ms"]))  # type: ignore[call-overload]
        for row in rows
    }
    lines = [
        "| graph | ONNX Runtime | OpenVINO | OpenVINO, float part in BF16 |",
        "|---|---:|---:|---:|",
    ]
    for name in dict.fromkeys(row["graph"] for row in rows):
        cells = [
            f"{medians[name, backend, compute]:.1f}"
            for backend, compute in (
                ("onnxruntime", "fp32"),
                ("openvino", "fp32"),
                ("openvino", "bf16"),
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure, write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each graph and runtime")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    here = environment()
    parts = [
        "# INT8, try by try",
        "",
        "Written by `python bench/tries.py`; samples in [tries.json](tries.json). Median milliseconds of "
        "processor time of one clip on one thread, random weights. Read with "
        "[docs/design/0006-int8.md](../docs/design/0006-int8.md).",
        "",
    ]
    raw = {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            if case.name not in TRIED:
                continue
            print(case.title, file=sys.stderr)
            folder = Path(scratch) / case.name
            folder.mkdir()
            raw[case.name] = tried(case, folder, arguments.seconds)
            parts += [f"## {case.title}", "", *table(raw[case.name]), ""]
            report = in_turn_and_side_by_side(case, folder, arguments.seconds)
            raw[f"{case.name}, two threads"] = [row.as_dict() for row in report.rows]
            what = "streams" if case.spec.family == "twostream" else "persons"
            parts += [f"Two threads, time of the clock, {what} in turn and side by side, each contender in "
                      "its own process, in rounds:", "", *parts_table(report), ""]  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    parts += [f"{here['cpu']}, {len(os.sched_getaffinity(0))} cores; {versions}.", ""]
    write_text(arguments.out / "tries.md", "\n".join(parts), force=True)
    told = json.dumps({"environment": here, "rows": raw})
    write_text(arguments.out / "tries.json", told, force=True)


if __name__ == "__main__":
    main()
