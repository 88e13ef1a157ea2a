"""The published benchmark: bench/report.md, bench/*.png and bench/raw.json, from one command.

    python bench/run.py [--duration 20] [--threads 2] [--case NAME] [--no-torch-compile]

Contenders: PyTorch eager, torch.compile, the plain export of the unmodified network on ONNX Runtime,
ours.  Each runs alone in its process, bound to the same cores; rounds are interleaved.  A large matrix
product on the same runtime tells what the machine can do at best, and so the floor of each network.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from networks import CASES, Case, write_checkpoint
from onnx import TensorProto, helper, numpy_helper

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.exporter.contenders import checkpoint_contenders
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, Contender, Row, model_contender, run_bench
from stgcn_deploy.measure.plots import plot_bench
from stgcn_deploy.measure.report import bench_markdown
from stgcn_deploy.models.families import count_macs

HERE = Path(__file__).parent
PEAK = 1536
PLAIN, OURS = "plain export", "ours"


def peak_contender(folder: Path, threads: int) -> Contender:
    """One (1536, 1536) x (1536, 1536) product in ONNX Runtime: the machine's fp32 rate in practice."""
    weight = np.random.default_rng(0).normal(0, 1, (PEAK, PEAK)).astype(np.float32)
    shape = [PEAK, PEAK]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "peak",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = folder / "peak.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(path))
    return model_contender(
        "matrix product (the machine's rate)",
        str(path),
        backend="onnxruntime",
        shapes={"input": shape},
        batch=1,
        threads=threads,
        macs=PEAK**3,
    )


def row_named(report: BenchReport, start: str) -> Row:
    """The row whose name begins with `start`."""
    return next(row for row in report.rows if row.name.startswith(start))


def measure(case: Case, arguments: argparse.Namespace) -> tuple[BenchReport, Row]:
    """The contenders' report, and the matrix product that ran among them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = folder / f"{case.name}.pt"
        write_checkpoint(case, path)
        hints = Hints(frames=case.frames, persons=case.persons)
        contenders = checkpoint_contenders(
            load_checkpoint(path, hints),
            folder,
            batch=(1,),
            threads=arguments.threads,
            compiled=arguments.torch_compile,
        )
        report = run_bench(
            [*contenders, peak_contender(folder, arguments.threads)],
            duration=arguments.duration,
            rounds=arguments.rounds,
            progress=lambda text: print(f"  {text}", file=sys.stderr),
        )
    peak = report.rows[-1]
    return BenchReport(report.rows[:-1], report.environment, report.rounds), peak


def verdicts(case: Case, report: BenchReport, peak: Row) -> list[str]:
    """What the numbers say, in sentences made from them."""
    ours, plain = row_named(report, OURS), row_named(report, PLAIN)
    eager = row_named(report, "PyTorch eager")
    least = count_macs(case.spec, frames=case.frames, persons=case.persons, aggregate=True)
    floor = least / peak.gmacs_per_s / 1e6
    lines = [
        f"- ours against the plain export: **{plain.percentile(50) / ours.percentile(50):.2f}x**; "
        f"against PyTorch eager: **{eager.percentile(50) / ours.percentile(50):.2f}x**",
    ]
    compiled = [
        row for row in report.rows if row.name.startswith("torch.compile") and not row.error
    ]
    if compiled:
        ratio = compiled[0].percentile(50) / ours.percentile(50)
        lines.append(f"- against torch.compile: **{ratio:.2f}x**")
    lines.append(
        f"- plain export against PyTorch eager: {eager.percentile(50) / plain.percentile(50):.2f}x"
    )
    lines.append(
        f"- floor: {least / 1e9:.2f} GMAC at the {peak.gmacs_per_s:.0f} GMAC/s of a large matrix "
        f"product here = {floor:.1f} ms; ours takes {ours.percentile(50):.1f} ms, "
        f"{floor / ours.percentile(50):.0%} of the machine's rate"
    )
    return lines


def main() -> None:
    """Measure every case and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration", type=float, default=20.0, help="seconds for each contender")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", choices=[case.name for case in CASES])
    parser.add_argument("--torch-compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = ["# Benchmark", "", "Written by `make bench`; raw samples in [raw.json](raw.json).", ""]
    raw = {}
    for case in CASES:
        if arguments.case not in (None, case.name):
            continue
        print(case.title, file=sys.stderr)
        report, peak = measure(case, arguments)
        raw[case.name] = {**report.as_dict(), "peak": peak.as_dict()}
        plot_bench(report, arguments.out / f"{case.name}.png", force=True)
        parts += [f"## {case.title}", "", *verdicts(case, report, peak), ""]
        table = bench_markdown(report).replace("## ", "### ").replace("# Benchmark\n", "")
        parts += [f"![{case.title}]({case.name}.png)", "", table, ""]
    write_text(arguments.out / "raw.json", json.dumps(raw), force=True)
    write_text(arguments.out / "report.md", "\n".join(parts), force=True)
    print(f"wrote {arguments.out / 'report.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
