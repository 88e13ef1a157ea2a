"""Half an hour of cameras of which some do wrong: bench/soak.md and bench/soak.json.

    python bench/soak.py [--minutes 30] [--cameras 8] [--form simulated] [--form streams --clips FOLDER]

simulated: key points; a camera is killed, frozen, damaged, refuses, in turn.  streams: video over HTTP
from servers in another process, which are killed, frozen, send damaged bytes and refuse; poses too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from live import Bundles, command, say

from stgcn_deploy.files import write_text
from stgcn_deploy.live.bench.launch import launch
from stgcn_deploy.live.bench.outcome import Outcome
from stgcn_deploy.live.bench.plan import BenchPlan, Fault
from stgcn_deploy.live.bench.report import Run, details, markdown_table, run_rows
from stgcn_deploy.live.bench.soak import Check, checks, failed, faults_for
from stgcn_deploy.measure.environment import environment

HERE = Path(__file__).parent
FORMS = ("simulated", "streams")
WINDOW = 6.0
KEPT = 200_000


def plan_of(bundle: Path, arguments: argparse.Namespace, **changes: Any) -> BenchPlan:
    """The run, with one fault after the other."""
    duration = 60.0 * arguments.minutes
    faults = faults_for(
        duration, cameras=arguments.cameras, every=arguments.every, length=arguments.length
    )
    return BenchPlan(
        bundle=str(bundle), cameras=arguments.cameras, duration=duration, faults=faults,
        warmup=arguments.warmup, kept=KEPT, **changes,
    )  # fmt: skip


def with_streams(bundle: Path, arguments: argparse.Namespace) -> Outcome:
    """Cameras are HTTP servers of this process; it plays their faults."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from streams import StreamServer, flipped

    clips = sorted(arguments.clips.glob("*.mp4"))
    parts = [as_transport_stream(clip) for clip in clips[: arguments.cameras]]
    with ExitStack() as stack:
        servers = []
        for number in range(arguments.cameras):
            server = StreamServer([parts[number % len(parts)]])
            server.start()
            stack.callback(server.kill)
            servers.append(server)
        plan = plan_of(bundle, arguments, streams=tuple(server.url for server in servers))
        begun = threading.Event()
        player = threading.Thread(
            target=_play, args=(servers, plan.faults, begun, flipped), daemon=True
        )
        player.start()

        def progress(text: str) -> None:
            if text == "measuring":
                begun.set()
            say(text)

        return launch(plan, progress)


def _play(
    servers: list[Any], faults: tuple[Fault, ...], begun: threading.Event, flipped: Any
) -> None:
    begun.wait()
    zero = time.monotonic()
    for fault in faults:
        server = servers[fault.camera]
        parts = server.parts
        time.sleep(max(0.0, zero + fault.start - time.monotonic()))
        say(f"camera {fault.camera}: {fault.kind}")
        if fault.kind == "killed":
            server.kill()
        elif fault.kind == "frozen":
            server.frozen.set()
        elif fault.kind == "corrupt":
            server.parts = [(flipped(data, len(data) // 500), seconds) for data, seconds in parts]
            server.hang_up()
        else:
            server.status = 503
            server.hang_up()
        time.sleep(max(0.0, zero + fault.end - time.monotonic()))
        server.status, server.parts = 200, parts
        server.frozen.clear()
        if fault.kind == "killed":
            server.start()
        elif fault.kind == "corrupt":
            server.hang_up()


def as_transport_stream(clip: Path) -> tuple[bytes, float]:
    """A clip as (bytes of MPEG-TS, seconds), small and at 25 frames a second."""
    import io

    import av

    buffer = io.BytesIO()
    count = 0
    with av.open(str(clip)) as source, av.open(buffer, "w", format="mpegts") as target:
        stream = target.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.bit_rate, stream.gop_size = 1_000_000, 12
        for frame in source.decode(video=0):
            small = frame.reformat(width=320, height=240, format="yuv420p")
            small.pts, small.time_base = count, Fraction(1, 25)
            for packet in stream.encode(small):
                target.mux(packet)
            count += 1
        for packet in stream.encode():
            target.mux(packet)
    return buffer.getvalue(), count / 25


def section(form: str, value: dict[str, Any]) -> list[str]:
    """One form in Markdown."""
    run = Run("the whole run", Outcome.from_dict(value["outcome"]))
    found = [Check(**one) for one in value["checks"]]
    words = {True: "good", False: "**failed**", None: "**too little to tell**"}
    faults = [
        f"{fault.kind} {fault.start:.0f} to {fault.end:.0f} s (camera {fault.camera})"
        for fault in run.outcome.asked.faults
    ]
    here = value["environment"]
    return [
        f"## {'Key points, simulated' if form == 'simulated' else 'Video over HTTP'}", "",
        f"{len(faults)} faults: {', '.join(faults[:8])}{', ...' if len(faults) > 8 else ''}.", "",
        "| check | verdict | numbers |", "|---|---|---|",
        *(f"| {one.name} | {words[one.good]} | {one.numbers} |" for one in found), "",
        *markdown_table(["", run.title], run_rows([run])), "",
        *(f"- {text}" for text in details(run.outcome)), "",
        f"`{value['command']}`; {here['time']}, {here['cpu']}, {here['cores']} cores.", "",
    ]  # fmt: skip


def main() -> None:
    """Run, judge, write; ends with 1 where a check is not good."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=FORMS, default="simulated")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from fault to fault")
    parser.add_argument("--length", type=float, default=20.0, help="seconds of a fault")
    parser.add_argument("--warmup", type=float, default=30.0)
    parser.add_argument("--clips", type=Path, help="folder of video clips, for --form streams")
    parser.add_argument("--bundles", type=Path, help="where networks are kept between runs")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    if arguments.form == "streams" and arguments.clips is None:
        parser.error("--form streams needs --clips FOLDER (.mp4)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "soak.json"
    results: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.bundles or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bundle = Bundles(folder, quick=False).demo()
        if arguments.form == "streams":
            outcome = with_streams(bundle, arguments)
        else:
            outcome = launch(plan_of(bundle, arguments), say)
    found = checks(outcome, WINDOW)
    told = outcome.as_dict()
    # Judged already, and long.
    told["plan"]["streams"] = ()
    told["samples"], told["history"] = {}, told["history"][:: max(1, len(told["history"]) // 600)]
    told["told"], told["plan"]["bundle"] = told["told"][:500], "demo"
    results[arguments.form] = {
        "checks": [vars(one) for one in found],
        "outcome": told,
        "environment": environment(),
        "command": command("soak"),
    }
    write_text(kept, json.dumps(results), force=True)
    lines = [
        "# Cameras that do wrong, for a long time", "",
        "Written by `python bench/soak.py`; numbers in [soak.json](soak.json). One camera after the "
        "other is killed, frozen, damaged and refused; the rest must not notice. The quiet time before "
        "the first fault is what they are measured against.", "",
    ]  # fmt: skip
    for form in FORMS:
        if form in results:
            lines += section(form, results[form])
    write_text(arguments.out / "soak.md", "\n".join(lines), force=True)
    for one in found:
        say(f"{one.name}: {'good' if one.good else 'NOT GOOD'}: {one.numbers}")
    raise SystemExit(1 if failed(found) else 0)


if __name__ == "__main__":
    main()
