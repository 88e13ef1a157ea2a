"""What runs on an NPU host that has Python and numpy and nothing of this package but a pack.

    python3 -m stgcn_deploy.ascend.host write --pack pack.json --data val_data.npy -o WORK/bins
    python3 -m stgcn_deploy.ascend.host score --pack pack.json --run WORK/RUN --bins WORK/bins ...

Every module that this one imports is in PACKED of ascend/pack.py, and needs numpy alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.ascend.checks import check_run
from stgcn_deploy.ascend.summary import read_timing
from stgcn_deploy.data.bins import DATA, BinPlan, read_bin_labels, write_bins
from stgcn_deploy.data.labelfile import neighbour, read_labels
from stgcn_deploy.data.npyfile import NpyFile
from stgcn_deploy.errors import DataError, FileUnreadableError, StgcnError, UsageError
from stgcn_deploy.measure.scoring import score_results

__all__ = ["main"]

PACK_FORMAT = "stgcn-ascend-pack"


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit code of its error, 0 without."""
    parser = argparse.ArgumentParser(prog="stgcn_deploy.ascend.host", description="steps of a pack")
    steps = parser.add_subparsers(dest="step", required=True)
    write = steps.add_parser("write", help="one raw file for each sample of a prepared array")
    write.add_argument("--data", type=Path, required=True)
    write.add_argument("--labels", type=Path)
    write.add_argument("-o", "--output", type=Path, required=True)
    score = steps.add_parser("score", help="check and score a run")
    score.add_argument("--run", type=Path, required=True)
    score.add_argument("--bins", type=Path, required=True)
    score.add_argument("--batch", type=int, required=True)
    score.add_argument("--tool", choices=("ais_bench", "msame"), required=True)
    score.add_argument("--json", action="store_true", dest="as_json")
    for step in (write, score):
        step.add_argument("--pack", type=Path, required=True)
    said = parser.parse_args(arguments)
    try:
        return {"write": _write, "score": _score}[said.step](said, _pack(said.pack))
    except StgcnError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _pack(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileUnreadableError(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict) or value.get("format") != PACK_FORMAT:
        raise DataError(f"{path} is no {PACK_FORMAT}; use the pack.json beside run.sh.")
    return value


def _write(said: argparse.Namespace, pack: dict[str, Any]) -> int:
    """As data_bins_write does without a bundle: the array's own order is the network's."""
    shapes = pack["inputs"]
    if list(shapes) != [DATA] or pack["axes"] != "NCTVM":
        raise UsageError(
            f"this network takes {', '.join(shapes)} in the order {pack['axes']}, which need its bundle's "
            "steps; write the samples where the whole package is (stgcn data bins write --bundle DIR), "
            "bring that folder as WORK/bins, and name no data."
        )
    data = NpyFile(said.data)
    shape = tuple(shapes[DATA])
    if data.ndim != len(shape) or data.shape[1:] != shape[1:]:
        raise DataError(
            f"{said.data} has shape {data.shape}, and the network takes (N, {shape[1:]}) of prepared "
            "numbers, N, C, T, V, M."
        )
    labels = _labels(said.data, said.labels, len(data))
    found = said.data.stat()
    source = {
        "data": [str(said.data.resolve()), found.st_size, found.st_mtime_ns],
        "labels": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
        "pack": pack["manifest_sha256"],
    }

    def sample(index: int) -> dict[str, NDArray[np.float32]]:
        record = data.record(index)
        if not np.issubdtype(record.dtype, np.number) or not np.isfinite(record).all():
            raise DataError(f"{said.data}, record {index}: not all values are finite numbers.")
        return {DATA: np.ascontiguousarray(record[None], dtype=np.float32)}

    made = write_bins(said.output, BinPlan({DATA: shape}, labels, source), sample)
    sys.stdout.write(f"{made['count']:,} samples ({made['kept']:,} were there)\n")
    return 0


def _labels(data: Path, given: Path | None, count: int) -> NDArray[np.int64]:
    place = given or neighbour(data)
    if place is None:
        raise UsageError(f"{data} has no file of labels beside it; name it: --labels FILE.")
    labels = read_labels(place).labels
    if len(labels) != count:
        raise DataError(f"{place} has {len(labels)} label(s), and {data} {count} record(s).")
    return labels


def _score(said: argparse.Namespace, pack: dict[str, Any]) -> int:
    truths = read_bin_labels(said.bins)
    timing = read_timing(said.tool, said.run, said.batch)
    results = said.run / "results"
    notes = check_run(results, len(truths), pack["classes"], timing)
    found = score_results(results, truths, where=str(said.bins), classes=pack["classes"])
    if said.as_json:
        told = {"accuracy": found.as_dict(), "timing": timing.as_dict(), "notes": list(notes)}
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    for text in notes:
        sys.stderr.write(f"note: {text}\n")
    for title, phase in (("H2D", timing.h2d), ("NPU", timing.npu), ("D2H", timing.d2h)):
        if phase is not None:
            sys.stdout.write(
                f"{title}: mean {phase.mean:.3f} ms, median {phase.median:.3f}, p99 {phase.p99:.3f}\n"
            )
    sys.stdout.write(f"throughput {timing.clips_per_s:.2f} clips/s, batch {timing.batch}\n")
    sys.stdout.write(f"Top 1: {found.top1:.2%}\nTop 5: {found.top5:.2%}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
