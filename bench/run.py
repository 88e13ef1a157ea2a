"""The published benchmark: bench/report.md, bench/*.png and bench/raw.json, from one command.

    python bench/run.py [--duration 20] [--threads 2] [--case NAME] [--no-torch-compile]

Contenders: PyTorch eager, torch.compile in float32 and bfloat16, the plain export of the unmodified
network on ONNX Runtime, and ours: FP32 on both runtimes, BF16 on OpenVINO, INT8 on ONNX Runtime; of
several persons also the form that leaves absent ones out, with one present.  Each runs alone in its
process, bound to the same cores; rounds are interleaved.  A large matrix product on the same runtime
tells what the machine can do at best, and so the floor of each network.

Weights are random and INT8 is calibrated on noise: speed depends on neither.  What INT8 costs in
accuracy is measured on trained networks (bench/precision.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from cases import CASES, Case, write_checkpoint

from stgcn_deploy import api
from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.exporter.contenders import checkpoint_contenders
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.bench import BenchReport, Contender, Row, run_bench
from stgcn_deploy.measure.contenders import bundle_contenders
from stgcn_deploy.measure.peak import peak_contender
from stgcn_deploy.measure.plots import plot_bench
from stgcn_deploy.measure.report import bench_markdown
from stgcn_deploy.models.families import count_macs

HERE = Path(__file__).parent
PLAIN = "plain export"


def say(text: str) -> None:
    """Progress."""
    print(f"  {text}", file=sys.stderr)


def named(contender: Contender, name: str) -> Contender:
    """The same under a name for the report."""
    return replace(contender, name=name)


def ours(case: Case, checkpoint: Path, folder: Path, threads: int) -> list[Contender]:
    """Our bundles of a case, beside the FP32 one on ONNX Runtime."""
    size = {"frames": case.frames, "persons": case.persons}
    options = {"graph_form": "aggregate", "verify": False, **size}
    api.export(checkpoint, folder / "fp32", **options)
    made = [("fp32", "openvino", "fp32", None)]
    for kind, target in (("bf16", "openvino"), ("int8", "onnxruntime"), ("int8", "openvino")):
        name = f"{kind}-{target}"
        say(f"quantising {name}")
        api.quantize(
            folder / "fp32",
            folder / name,
            to=kind,
            target=target,
            samples=16,
            gate=False,
            noise_calibration=kind == "int8",
            latency=False,
        )
        made.append((name, target, kind, None))
    if case.persons > 1:
        api.export(checkpoint, folder / "skip", skip_absent=True, **options)
        made.append(
            ("skip", "onnxruntime", f"fp32, absent persons left out, 1 of {case.persons}", 1)
        )
        api.export(checkpoint, folder / "alone", **{**options, "persons": 1})
        made.append(("alone", "onnxruntime", f"fp32, M=1 instead of {case.persons}", None))
    return [
        named(
            bundle_contenders(folder / name, backend, (1,), threads, present)[0],
            f"ours {title} on {backend}",
        )
        for name, backend, title, present in made
    ]


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
        compiled = [one for one in contenders if one.name == "torch.compile"]
        contenders += [
            replace(one, name="torch.compile bf16", options={**one.options, "mode": "compile-bf16"})
            for one in compiled
        ]
        contenders += ours(case, path, folder, arguments.threads)
        report = run_bench(
            [*contenders, peak_contender(folder, arguments.threads)],
            duration=arguments.duration,
            rounds=arguments.rounds,
            progress=say,
        )
    peak = report.rows[-1]
    return BenchReport(report.rows[:-1], report.environment, report.rounds), peak


def median(report: BenchReport, start: str, end: str = "") -> float | None:
    """Median ms of the first row whose name begins and ends so; None where there is none."""
    for row in report.rows:
        if row.name.startswith(start) and row.name.endswith(end) and not row.error:
            return row.percentile(50)
    return None


def verdicts(case: Case, report: BenchReport, peak: Row) -> list[str]:
    """What the numbers say, in sentences made from them."""
    plain, fp32 = median(report, PLAIN), median(report, "ours (")
    assert plain is not None
    assert fp32 is not None
    least = count_macs(case.spec, frames=case.frames, persons=case.persons, aggregate=True)
    floor = least / peak.gmacs_per_s / 1e6
    best = min(time for time in (fp32, median(report, "ours fp32 on openvino")) if time)
    chosen = {
        "FP32, the better runtime": best,
        "BF16 on OpenVINO": median(report, "ours bf16"),
        "INT8 on ONNX Runtime": median(report, "ours int8", "onnxruntime"),
        "INT8 on OpenVINO": median(report, "ours int8", "openvino"),
    }
    others = {
        "the plain export": plain,
        "PyTorch eager": median(report, "PyTorch eager"),
        "torch.compile": median(report, "torch.compile"),
        "torch.compile bf16": median(report, "torch.compile bf16"),
    }
    known = {name: time for name, time in others.items() if time}
    lines = [
        "| ours | median ms | " + " | ".join(f"against {name}" for name in known) + " |",
        "|---|---:|" + "---:|" * len(known),
    ]
    for name, time in chosen.items():
        if time:
            ratios = " | ".join(f"**{other / time:.2f}x**" for other in known.values())
            lines.append(f"| {name} | {time:.1f} | {ratios} |")
    lines += [
        "",
        f"- floor of FP32: {least / 1e9:.2f} GMAC at the {peak.gmacs_per_s:.0f} GMAC/s of a large matrix "
        f"product here = {floor:.1f} ms; ours takes {best:.1f} ms, {floor / best:.0%} of that rate",
    ]
    one, alone = median(report, "ours fp32, absent"), median(report, "ours fp32, M=1")
    if one and alone:
        lines.append(
            f"- one person present of {case.persons}: {one:.1f} ms, **{one / alone:.2f}x** the time of "
            f"M=1; all {case.persons} take {fp32:.1f} ms"
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
