"""What live runs take: bench/live.md, bench/live.json and pictures, part by part.

    python bench/live.py [--only keypoints,full,clips,overload,delay] [--clips FOLDER] [--quick]

Parts that are measured replace what bench/live.json holds of them; the others stay, so that each can be
run when the machine is quiet.  The overload takes the number of cameras that the clips' search found.
With --quick everything is some seconds long, into --out: to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import CASES, write_checkpoint

from stgcn_deploy import api
from stgcn_deploy.cli.console import json_text
from stgcn_deploy.demo import CHECKPOINT, LABELS
from stgcn_deploy.files import write_text
from stgcn_deploy.live.bench.delay import DelayReport, Delays
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plot import plot_ages, plot_delay
from stgcn_deploy.live.bench.report import (
    DELAY_HEADER,
    Run,
    delay_cells,
    details,
    markdown_table,
    run_rows,
)

HERE = Path(__file__).parent
FPS = 25.0
FULL = "twostream-v33-t150-m1"
# Raw samples of each kind that are published.
KEPT = 500
AGE_MS = 250.0


@dataclass(frozen=True)
class Part:
    """One part of the report.

    Attributes:
        what: what is measured, for people.
        goal: the number of cameras that it should be; 0: none.
    """

    name: str
    title: str
    what: str
    goal: int = 0


PARTS = (
    Part(
        "keypoints",
        "Key points, the demonstration network",
        "Cameras of 25 frames a second with one person each, synthetic motion; the demonstration "
        "network (two streams, slim) as INT8; a window of 6 s each second and person.",
        40,
    ),
    Part(
        "full",
        "Key points, the full-width two-stream network",
        "The same with the Jetson guides' network at its full width as INT8; its weights are random, "
        "for speed does not depend on them.",
        15,
    ),
    Part(
        "clips",
        "Video: decoding, poses and actions",
        "Real clips, decoded and played at 25 frames a second whatever they were recorded at, "
        "different ones side by side; BlazePose; the demonstration network as INT8, a window each "
        "second and person.",
        3,
    ),
    Part(
        "overload",
        "Overload",
        "One and a half times the cameras that the part above found, for as long as it says; work is "
        "left out step by step. Beside it the naive contender with the same cameras, pose estimator, "
        "tracker, sessions and as many threads: a queue without a limit in front of each loop, frames "
        "appended by count, the network for one person after the other. It is ended when it takes 4 GiB.",
    ),
    Part(
        "delay",
        "Detection delay",
        "From the onset of an action to its event, apart from computing: synthetic sequences whose "
        "onsets are known, in simulated time, through the pipeline's own windows and decisions. Told "
        "late: only when the action was over. The FP32 demonstration network.",
    ),
)


class Bundles:
    """The networks, made when they are first needed."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self._folder, self._quick = folder, quick

    def demo(self) -> Path:
        """FP32, trained."""
        path = self._folder / "demo-fp32"
        if not path.exists():
            say("exporting the demonstration network")
            api.export(CHECKPOINT, path, labels=LABELS, fps=FPS, dynamic="batch", verify=False)
        return path

    def demo_int8(self) -> Path:
        """Ranges from synthetic motion of another seed than its training."""
        path = self._folder / "demo-int8"
        if not path.exists():
            base, data = self.demo(), self._folder / "synthetic.pkl"
            say("quantising the demonstration network")
            api.data_synth(
                data, clips=110 if self._quick else 1100, seed=99, test_share=0.5, force=True
            )
            budget = {"gate": False} if self._quick else {"eval_split": "test"}
            api.quantize(
                base, path, to="int8", target="onnxruntime", data=data, split="train",
                latency=False, **budget,
            )  # fmt: skip
        return path

    def full_int8(self) -> Path:
        """Random weights, ranges from noise."""
        path = self._folder / "full-int8"
        if not path.exists():
            say("exporting and quantising the full-width network")
            case = next(case for case in CASES if case.name == FULL)
            write_checkpoint(case, self._folder / "full.pt")
            api.export(
                self._folder / "full.pt", self._folder / "full-fp32", fps=FPS, dynamic="batch",
                verify=False, frames=case.frames, persons=case.persons,
            )  # fmt: skip
            api.quantize(
                self._folder / "full-fp32", path, to="int8", target="onnxruntime", samples=16,
                gate=False, noise_calibration=True, latency=False,
            )  # fmt: skip
        return path


def say(text: str) -> None:
    """Progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


def measure(part: str, bundles: Bundles, arguments: argparse.Namespace, before: Any) -> Any:
    """One part as plain values."""
    common: dict[str, Any] = {
        "fps": FPS,
        "duration": arguments.duration,
        "warmup": arguments.warmup,
        "threads": arguments.threads,
        "workers": arguments.workers,
        "kept": KEPT,
        "progress": say,
    }
    if part in ("keypoints", "full"):
        bundle = bundles.demo_int8() if part == "keypoints" else bundles.full_int8()
        return api.bench_live(bundle, search=True, first=arguments.first, **common).as_dict()
    if part == "clips":
        return api.bench_live(
            bundles.demo_int8(), search=True, first=1, clips=clips_of(arguments), **common
        ).as_dict()
    if part == "overload":
        base = arguments.base or ((before.get("clips") or {}).get("search") or {}).get("cameras")
        if not base:
            raise SystemExit("the overload needs the clips' part first, or --base CAMERAS")
        common["duration"] = arguments.overload_duration
        return api.bench_live(
            bundles.demo_int8(), cameras=base, overload=1.5, naive=True, base_run=False,
            clips=clips_of(arguments), **common,
        ).as_dict()  # fmt: skip
    return api.bench_live(
        bundles.demo(), delay=True, sequences=arguments.sequences, threads=arguments.threads,
        progress=say,
    ).as_dict()  # fmt: skip


def clips_of(arguments: argparse.Namespace) -> Path:
    """The folder of clips."""
    if arguments.clips is None:
        raise SystemExit("the parts clips and overload need --clips FOLDER (video files)")
    found: Path = arguments.clips
    return found


# ---- the report ------------------------------------------------------------------------------


def runs_of(value: dict[str, Any]) -> list[Run]:
    """Runs out of plain values."""
    return [Run(one["title"], Outcome.from_dict(one["outcome"])) for one in value["runs"]]


def verdict(part: Part, value: dict[str, Any]) -> list[str]:
    """What the numbers say, against the goal."""
    searched = value.get("search")
    if searched is None:
        return [f"- **not good enough**: {text}" for text in value["broken"]]
    most = searched["cameras"]
    more = "; ".join(searched["next_broken"]) or "not tried"
    lines = [f"**{most} cameras** at most. With {searched['next_cameras']}: {more}."]
    if part.goal:
        reached = "reached" if most >= part.goal else "**missed**"
        lines.append(f"Goal: at least {part.goal} cameras: {reached}.")
    return [" ".join(lines)]


def trials(value: dict[str, Any]) -> list[str]:
    """What was tried on the way."""
    searched = value.get("search")
    if searched is None:
        return []
    lines = ["", "Tried, in this order:", ""]
    for trial in searched["trials"]:
        kind = ", longer" if trial["confirming"] else ""
        said = "; ".join(trial["broken"]) or "good"
        lines.append(f"- {trial['cameras']}{kind}: {said}")
    return lines


def section(part: Part, value: dict[str, Any], out: Path) -> list[str]:
    """One part in Markdown, with its pictures."""
    here = value["environment"]
    load = ", ".join(f"{one:.1f}" for one in here["load_average"][:1])
    lines = [f"## {part.title}", "", part.what, "", *verdict(part, value), ""]
    runs = runs_of(value)
    if runs:
        lines += markdown_table(["", *(run.title for run in runs)], run_rows(runs))
        lines += ["", *(f"- {run.title}: {text}" for run in runs for text in details(run.outcome))]
        picture = f"live-{part.name}.png"
        plot_ages(
            runs, out / picture, limit_ms=AGE_MS if part.name == "overload" else None, force=True
        )
        lines += ["", f"![Ages over time: {part.title}]({picture})"]
    lines += trials(value)
    if value.get("delay"):
        report = delay_report(value["delay"])
        plot_delay(report, out / "live-delay.png", force=True)
        lines += [*markdown_table(DELAY_HEADER, delay_cells(report)), ""]
        lines += [
            f"Windows of {report.window:g} s; {report.rows[0].minutes:.0f} minutes of motion.",
            "",
            "![From onset to event](live-delay.png)",
        ]
    lines += [
        "",
        f"`{value['command']}`; {here['time']}, {here['cpu']}, {here['cores']} cores, load after it "
        f"{load}.",
        "",
    ]
    return lines


def delay_report(value: dict[str, Any]) -> DelayReport:
    """Out of plain values."""
    rows = []
    for row in value["rows"]:
        count = row["actions"]
        late, missed = (
            round(count * (row[name] or 0.0)) for name in ("late_share", "missed_share")
        )
        false = round(row["minutes"] * row["false_starts_per_minute"])
        rows.append(
            Delays(
                row["stride"], row["smoothing"], tuple(row["delays_s"]), late, missed,
                row["going_on"], false, row["minutes"],
            )
        )  # fmt: skip
    return DelayReport(tuple(rows), value["window_s"], tuple(value["actions"]))


INTRO = (
    "Written by `python bench/live.py`; numbers and samples in [live.json](live.json). Every run is a "
    "process of its own; the simulated cameras run in it and take of its cores. Latencies begin when a "
    "frame arrives; by how much frames came after their time is told beside them, and beyond 40 ms (p99) "
    "a run does not count. A number of cameras is good when at most 1 % of the frames were dropped, at "
    "most 1 % of the windows lost, the p99 from frame to answer is below the stride, and nothing was "
    "left out on purpose; it counts when a longer run has confirmed it."
)


def write(found: dict[str, Any], out: Path) -> None:
    """live.md and its pictures."""
    lines = ["# Live: how many cameras", "", INTRO, ""]
    for part in PARTS:
        if part.name in found:
            lines += section(part, found[part.name], out)
        else:
            lines += [f"## {part.title}", "", "Not measured yet.", ""]
    write_text(out / "live.md", "\n".join(lines), force=True)


def command(script: str = "live") -> str:
    """How this was started, without folders."""
    return " ".join([f"python bench/{script}.py", *(Path(word).name for word in sys.argv[1:])])


def main() -> None:
    """Measure what is asked for, and write the report."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(names), help="parts, with commas between them")
    parser.add_argument("--clips", type=Path, help="folder of video clips")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds of a confirming run")
    parser.add_argument("--warmup", type=float, default=10.0)
    parser.add_argument("--overload-duration", type=float, default=600.0)
    parser.add_argument("--base", type=int, help="cameras that the overload is 1.5 times of")
    parser.add_argument("--first", type=int, default=16, help="cameras that a search begins with")
    parser.add_argument("--sequences", type=int, default=20, help="minutes of motion for the delay")
    parser.add_argument("--threads", type=int, help="of one call of the network")
    parser.add_argument("--workers", type=int, help="calls of the network at the same time")
    parser.add_argument("--bundles", type=Path, help="where networks are kept between runs")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if wrong := set(chosen) - set(names):
        parser.error(f"unknown parts {', '.join(sorted(wrong))}; known: {', '.join(names)}")
    if arguments.quick:
        if arguments.out == HERE:
            parser.error("--quick writes nothing over the published report; give --out FOLDER")
        arguments.duration = arguments.overload_duration = 5.0
        arguments.warmup, arguments.sequences, arguments.first = 1.0, 1, 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "live.json"
    found: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.bundles or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bundles = Bundles(folder, quick=arguments.quick)
        for name in chosen:
            print(name, file=sys.stderr)
            value = measure(name, bundles, arguments, found)
            found[name] = json.loads(json_text({**value, "bundle": "", "command": command()}))
            write_text(kept, json.dumps(found), force=True)
    write(found, arguments.out)
    print(f"wrote {arguments.out / 'live.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
