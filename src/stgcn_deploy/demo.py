"""The whole path with the bundled model, step by step, with the commands that do the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_deploy import api
from stgcn_deploy.data.dataset import Header
from stgcn_deploy.data.formats.kinetics_npy import FORMAT as PREPARED
from stgcn_deploy.data.recording import Recording
from stgcn_deploy.data.synthetic import iter_dataset
from stgcn_deploy.errors import UsageError
from stgcn_deploy.files import fresh_directory, write_text
from stgcn_deploy.measure.accuracy import AccuracyReport
from stgcn_deploy.measure.page import (
    BenchSection,
    PredictionSection,
    Section,
    TableSection,
    TextSection,
    VerifySection,
    html_report,
)
from stgcn_deploy.measure.verify import refuse_failed
from stgcn_deploy.skeleton.draw import clip_svg
from stgcn_deploy.skeleton.layouts import LAYOUTS

if TYPE_CHECKING:
    from stgcn_deploy.measure.bench import BenchReport
    from stgcn_deploy.measure.verify import VerifyReport

__all__ = ["run_demo"]

ASSETS = Path(__file__).parent / "assets"
CHECKPOINT = ASSETS / "demo_twostream.pt"
LABELS = ASSETS / "demo_labels.txt"
CARD = ASSETS / "demo_card.json"
STEPS = 7
EVALUATED = 240
SHOWN = 4
# x and y are normalised by the width and height of a 640x480 image; pictures want one scale.
ASPECT = np.array([640 / 480, 1, 1], dtype=np.float32)
MARK = "stgcn-demo.json"
REPORT = "report.html"
HELD_OUT = "held_out_data.npy"


class Steps:
    """Numbered steps with their times."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.number = 0
        self.start = time.perf_counter()

    def begin(self, title: str, command: str) -> None:
        """Announce a step and the command that does the same."""
        self.number += 1
        since = time.perf_counter() - self.start
        self.say(f"\n[{self.number}/{STEPS}] {title}  ({since:.0f}s)\n      $ {command}")

    def done(self, text: str) -> None:
        """One line of its result."""
        self.say(f"      {text}")


def run_demo(
    output: Path, *, duration: float = 4.0, force: bool = False, say: Callable[[str], None]
) -> Path:
    """Inspect, export, verify, bench, evaluate, predict, report; returns the report's path.

    Args:
        output: a folder for bundle, clip and report; must not exist unless `force`.
        duration: seconds of benchmark for each contender.

    Raises:
        OutputExistsError: `output` exists and `force` is not given, or it is no demo's folder.
        StgcnError: a step failed; then nothing is left behind.
    """
    if duration <= 0:
        raise UsageError(f"duration must be positive, got {duration}.")
    commands = [
        f"stgcn inspect {output / 'bundle'}",
        f"stgcn predict {output / 'bundle'} {output / 'clip.npy'}",
        f"stgcn export YOUR_CHECKPOINT.pth -o {output / 'mine'}",
        f"stgcn bench YOUR_CHECKPOINT.pth {output / 'mine'}",
    ]
    steps = Steps(say)
    with fresh_directory(output, mark=MARK, force=force) as folder:
        (folder / MARK).write_text("{}\n", encoding="utf-8")
        sections = _walk(folder, output, duration, steps)
        steps.begin("Report", f"open {output / REPORT}")
        page = html_report(sections, title="stgcn-deploy demo", next_commands=commands)
        write_text(folder / REPORT, page)
    seconds = time.perf_counter() - steps.start
    say(f"\nDone in {seconds:.0f}s. Report: {output / REPORT}\nNext:")
    for command in commands:
        say(f"  {command}")
    return output / REPORT


def _walk(folder: Path, output: Path, duration: float, steps: Steps) -> list[Section]:
    """The steps before the report; `folder` becomes `output` when all is done."""
    card = json.loads(CARD.read_text(encoding="utf-8"))
    bundle, shown = folder / "bundle", output / "bundle"

    steps.begin("What is this checkpoint?", f"stgcn inspect {CHECKPOINT.name}")
    found = api.inspect(CHECKPOINT)
    steps.done(f"{found['family_title']}, {found['layout']}, {found['classes']} classes")
    steps.done(f"{found['parameters']:,} parameters, {found['macs'] / 1e9:.2f} GMAC a clip")

    steps.begin("Export", f"stgcn export {CHECKPOINT.name} -o {shown} --labels {LABELS.name}")
    made = api.export(CHECKPOINT, bundle, labels=LABELS, fps=25.0)
    times = ", ".join(f"{form} {ms:.1f} ms" for form, ms in made.form_ms.items())
    steps.done(f"graph form {made.bundle.manifest.graph_form} (measured here: {times})")

    steps.begin("Verify", f"stgcn verify {shown} --checkpoint {CHECKPOINT.name}")
    verified = api.verify(bundle, checkpoint=CHECKPOINT)
    refuse_failed(verified)
    worst = max(r.max_error for r in (verified.golden, verified.reference) if r)
    steps.done(
        f"{len(verified.checks)} checks passed, largest error {worst:.1e} of the logits' scale"
    )

    steps.begin("Benchmark", f"stgcn bench {CHECKPOINT.name} --no-torch-compile")
    timed = api.bench([CHECKPOINT], duration=duration, torch_compile=False)
    for row in timed.rows:
        steps.done(f"{row.name}: {row.error or f'{row.percentile(50):.2f} ms'}")

    data = output / HELD_OUT
    steps.begin(
        "Accuracy on held-out motion", f"stgcn eval {CHECKPOINT.name} {shown} --data {data}"
    )
    _write_held_out(folder / HELD_OUT, card)
    judged = api.evaluate([CHECKPOINT, bundle], folder / HELD_OUT, resume=False)
    accuracy, drop = judged.rows[1].accuracy, judged.rows[1].drop
    assert drop is not None
    low, high = accuracy.interval
    steps.done(
        f"top-1 {accuracy.top1:.1%} (95 % interval {low:.1%} to {high:.1%}) on {accuracy.count} "
        "clips that training never saw"
    )
    steps.done(f"the same answer as the checkpoint in PyTorch on {drop.agreement:.1%} of them")

    steps.begin("Predict", f"stgcn predict {shown} {output / 'clip.npy'}")
    pictures = _predictions(bundle, folder / "clip.npy", card)
    steps.done(f"{pictures[0].truth} -> {pictures[0].prediction.label}")
    manifest = made.bundle.manifest.model_dump(mode="json")
    results = _results(replace(verified, bundle=str(shown)), timed, accuracy, card)
    return [*_sections(found, manifest, card), *pictures, *results]


def _held_out(card: dict[str, Any], count: int) -> Any:
    """Clips of the test seed, which training and model selection never drew from."""
    return iter_dataset(count, seed=card["seeds"]["test"], **card["generator"])


def _write_held_out(path: Path, card: dict[str, Any]) -> None:
    """Held-out clips as st-gcn's own data files, so that the command above can be repeated."""
    recordings = (
        Recording(clip, name=f"{card['classes'][truth]}-{number}", label=truth)
        for number, (clip, truth) in enumerate(_held_out(card, EVALUATED))
    )
    PREPARED.write(path, recordings, Header(EVALUATED))


def _predictions(bundle: Path, saved: Path, card: dict[str, Any]) -> list[PredictionSection]:
    """The first clips of the test seed, one of each class in turn; the first one is saved."""
    edges = LAYOUTS["mediapipe33"].edges
    shown: list[PredictionSection] = []
    with api.load(bundle) as model:
        for clip, truth in _held_out(card, SHOWN):
            if not shown:
                np.save(saved, clip)
            name = model.labels[truth]
            svg = clip_svg(clip * ASPECT, model.manifest.layout.joints, edges)
            shown.append(PredictionSection(name, svg, model.predict(clip), name))
    return shown


def _sections(
    found: dict[str, Any], manifest: dict[str, Any], card: dict[str, Any]
) -> list[Section]:
    rows = [
        ("checkpoint", found["file"].rpartition("/")[2]),
        ("codebase", found["codebase_title"]),
        ("layout", found["layout"]),
        (
            "input",
            f"{found['axes']}, C={found['C']} T={found['T']} V={found['V']} M={found['M']}",
        ),
        ("parameters", f"{found['parameters']:,}"),
        ("MACs", f"{found['macs'] / 1e9:.3f} G a clip"),
        ("graph form", f"{manifest['graph_form']}, measured {manifest['graph_form_ms']} ms"),
        ("opset", str(manifest["opset"])),
    ]
    return [
        TextSection(
            "What this is",
            [
                "A slim two-stream ST-GCN, in the format of its training codebase, was recognised, "
                "rewritten as a fast graph, checked against its float64 reference, timed and tested.",
                f"It was trained on {card['counts']['train']:,} procedurally generated clips of "
                f"{len(card['classes'])} actions; the clips below come from another seed. Its accuracy "
                "says nothing about real recordings.",
            ],
        ),
        TableSection("The model", ("", ""), rows, ""),
    ]


def _results(
    verified: VerifyReport, timed: BenchReport, accuracy: AccuracyReport, card: dict[str, Any]
) -> list[Section]:
    low, high = accuracy.interval
    rows = [
        (name, f"{recall:.0%}")
        for name, recall in zip(card["classes"], accuracy.per_class, strict=True)
    ]
    note = (
        f"top-1 {accuracy.top1:.1%} on {accuracy.count} held-out clips, 95 % interval {low:.1%} to "
        f"{high:.1%}; the training's own test gave {card['accuracy']['test']:.1%}"
    )
    return [
        BenchSection(timed),
        TableSection("Accuracy by action", ("action", "recall"), rows, note),
        VerifySection(verified),
    ]
