"""What lower precision costs on trained networks: bench/precision.md and bench/precision.json.

    python bench/precision.py --runs RUNS --data jhmdb14.pkl [--synthetic]

RUNS holds the folders of training/jhmdb.py, NAME_s1, NAME_s2, NAME_s3, each with a model.pth.  Every
network is exported and quantised with the defaults: ranges from its training split, and a budget of
0.5 points on its test split, for which blocks are left float where it needs that.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_deploy import api
from stgcn_deploy.demo import CHECKPOINT, LABELS
from stgcn_deploy.files import write_text
from stgcn_deploy.measure.environment import environment
from stgcn_deploy.precision.result import OverBudgetError

HERE = Path(__file__).parent
KINDS = (
    ("FP16", "fp16", "onnxruntime"),
    ("BF16", "bf16", "openvino"),
    ("INT8", "int8", "onnxruntime"),
    ("INT8", "int8", "openvino"),
)


def judged(base: Path, folder: Path, data: Path, split: str, test: str) -> list[dict[str, Any]]:
    """One row for each kind: what it lost on the test split."""
    rows = []
    for title, kind, target in KINDS:
        try:
            made = api.quantize(
                base,
                folder / f"{kind}-{target}",
                to=kind,  # type: ignore[arg-type]
                target=target,
                data=data,
                split=split,
                eval_split=test,
                latency=False,
                force=True,
            )
            trial, refused = made.trial, False
        except OverBudgetError as error:
            # What it would have lost at best; no bundle was written.
            trial, refused = min(error.report.trials, key=lost), True
        assert trial is not None
        assert trial.accuracy is not None
        accuracy = trial.accuracy.model_dump()
        rows.append(
            {
                "title": title,
                "target": target,
                "float": len(trial.float_blocks),
                "refused": refused,
                **accuracy,
            }
        )
        print(f"    {title} {target}: {rows[-1]['points']:+.2f} points", file=sys.stderr)
    return rows


def lost(trial: Any) -> float:
    """Points of a trial."""
    return float(trial.accuracy.points)


def networks(runs: Path) -> dict[str, list[Path]]:
    """Name of a network -> the checkpoints of its splits."""
    found: dict[str, list[Path]] = {}
    for path in sorted(runs.glob("*_s[0-9]/model.pth")):
        found.setdefault(re.sub(r"_s\d$", "", path.parent.name), []).append(path)
    return found


def table(results: dict[str, list[list[dict[str, Any]]]]) -> list[str]:
    """Mean over the splits, and each split's loss."""
    lines = [
        "| network | precision, runtime | before | after | points lost | on each split | same answer | "
        "float blocks |",
        "|---|---|---:|---:|---:|---|---:|---|",
    ]
    for name, splits in results.items():
        for rows in zip(*splits, strict=True):
            mean = {
                key: float(np.mean([row[key] for row in rows]))
                for key in ("before", "after", "points", "agreement")
            }
            each = ", ".join(f"{row['points']:+.2f}" for row in rows)
            lines.append(
                f"| {name} | {rows[0]['title']}, {rows[0]['target']} | {mean['before']:.2%} | "
                f"{mean['after']:.2%} | **{mean['points']:+.2f}** | {each} | {mean['agreement']:.2%} | "
                f"{', '.join('refused' if row['refused'] else str(row['float']) for row in rows)} |"
            )
    return lines


def synthetic(folder: Path) -> list[dict[str, Any]]:
    """The demonstration network on 550 clips of another seed than training and test."""
    api.data_synth(folder / "synthetic.pkl", clips=1100, seed=99, test_share=0.5)
    api.export(CHECKPOINT, folder / "demo", labels=LABELS, verify=False)
    return judged(folder / "demo", folder, folder / "synthetic.pkl", "train", "test")


def main() -> None:
    """Judge every network, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    results: dict[str, list[list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, paths in networks(arguments.runs).items():
            for path in paths:
                number = path.parent.name[-1]
                print(f"  {path.parent.name}", file=sys.stderr)
                api.export(path, folder / "base", force=True)
                rows = judged(
                    folder / "base", folder, arguments.data, f"train{number}", f"test{number}"
                )
                results.setdefault(f"{name}, {len(paths)} splits", []).append(rows)
        results["demonstration network, synthetic motion"] = [synthetic(folder)]
    here = environment()
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    lines = [
        "# What lower precision costs",
        "",
        "Written by `python bench/precision.py`; numbers in [precision.json](precision.json). JHMDB-14, "
        "top-1 on each test split, ranges from its training split, default recipes, a budget of 0.5 "
        "points; float blocks were left so to keep it; refused: nothing kept it, and no bundle was "
        "written (the row has the best that was tried). The choice of float blocks looked at the split "
        "that it is judged on. One record of a split is 0.57 points; a negative loss is a gain.",
        "",
        *table(results),
        "",
        f"{here['cpu']}; {versions}.",
        "",
    ]
    write_text(arguments.out / "precision.md", "\n".join(lines), force=True)
    write_text(
        arguments.out / "precision.json",
        json.dumps({"environment": here, "results": results}, indent=1),
        force=True,
    )


if __name__ == "__main__":
    main()
