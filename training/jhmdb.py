"""The JHMDB-14 models: every run on the three official splits, their fusions, the page of results.

    python training/jhmdb.py train --data jhmdb14.pkl --labels jhmdb14_labels.txt --runs runs
    python training/jhmdb.py collect --runs runs      # -> training/results/jhmdb14.json
    python training/jhmdb.py page [--check]           # -> docs/accuracy.md

`train` leaves finished runs alone and takes up interrupted ones, so it can be killed at any time.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import train
from loop import accuracy
from numpy.typing import NDArray

from stgcn_deploy.files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "training" / "results" / "jhmdb14.json"
PAGE = ROOT / "docs" / "accuracy.md"
SPLITS = (1, 2, 3)
COMMON = ("--layout", "jhmdb15", "--fps", "30", "--frames", "40")
SLIM = ("--width", "0.375", "--epochs", "80")
FULL = ("--epochs", "40")
# At the peak of 0.1 its training loss does not leave chance for ten epochs.
PLUSPLUS = ("--family", "stgcnpp", "--learning-rate", "0.03")
BONE = ("--stream", "bone")
# Name of a model -> its own options, in the order in which they are trained.
MODELS: dict[str, tuple[str, ...]] = {
    "stgcn_slim_joint": SLIM,
    "stgcn_full_joint": FULL,
    "stgcn_slim_bone": (*SLIM, *BONE),
    "stgcn_full_bone": (*FULL, *BONE),
    "stgcnpp_slim_joint": (*PLUSPLUS, "--width", "0.5", "--epochs", "80"),
    "stgcnpp_full_joint": (*PLUSPLUS, *FULL),
}
TITLES = {
    "stgcn_slim_joint": "ST-GCN, slim, joint",
    "stgcn_full_joint": "ST-GCN, full width, joint",
    "stgcn_slim_bone": "ST-GCN, slim, bone",
    "stgcn_full_bone": "ST-GCN, full width, bone",
    "stgcnpp_slim_joint": "ST-GCN++, slim, joint",
    "stgcnpp_full_joint": "ST-GCN++, full width, joint",
}
FUSIONS: dict[str, tuple[str, ...]] = {
    "ST-GCN, slim, joint + bone": ("stgcn_slim_joint", "stgcn_slim_bone"),
    "ST-GCN, full width, joint + bone": ("stgcn_full_joint", "stgcn_full_bone"),
    "ST-GCN joint + bone and ST-GCN++ joint, slim": (
        "stgcn_slim_joint",
        "stgcn_slim_bone",
        "stgcnpp_slim_joint",
    ),
}


def place(runs: Path, model: str, split: int) -> Path:
    """Folder of one run."""
    return runs / f"{model}_s{split}"


def arguments(model: str, split: int) -> list[str]:
    """Options of one run, without its files."""
    splits = ["--train-split", f"train{split}", "--test-split", f"test{split}"]
    return [*splits, *COMMON, *MODELS[model]]


def train_all(options: argparse.Namespace) -> int:
    """Every run that is not finished, one after the other."""
    files = ["--data", str(options.data), "--labels", str(options.labels)]
    for model in options.only or MODELS:
        for split in SPLITS:
            folder = place(options.runs, model, split)
            if (folder / train.RESULT).exists():
                continue
            train.say(f"{model}, split {split}")
            resume = ["--resume"] if (folder / train.STATE).exists() else []
            threads = ["--threads", str(options.threads)]
            code = train.main([*files, *arguments(model, split), *threads, *resume,
                               "-o", str(folder)])  # fmt: skip
            if code:
                return code
    return 0


def probabilities(folder: Path) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Softmax (N, classes) of a run on its test split, labels, names."""
    with np.load(folder / train.SCORES) as held:
        logits, labels, names = held["logits"], held["labels"], held["names"]
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True), labels, names.tolist()


def fused(folders: Sequence[Path]) -> float:
    """Accuracy in percent of the sum of several runs' probabilities, all with weight 1."""
    found = [probabilities(folder) for folder in folders]
    _, labels, names = found[0]
    assert all(other == names for _, _, other in found), "runs on different test records"
    total = np.sum([chances for chances, _, _ in found], axis=0)
    return round(100 * accuracy(total, labels), 2)


def collect(options: argparse.Namespace) -> int:
    """Results of all finished runs, and their fusions, in one file."""
    models: dict[str, dict[str, Any]] = {}
    for model in MODELS:
        held = {split: place(options.runs, model, split) / train.RESULT for split in SPLITS}
        read = {
            str(split): json.loads(path.read_text(encoding="utf-8"))
            for split, path in held.items()
            if path.exists()
        }
        if read:
            models[model] = read
    fusions = {}
    for title, members in FUSIONS.items():
        done = [
            split for split in SPLITS
            if all(str(split) in models.get(member, {}) for member in members)
        ]  # fmt: skip
        if done:
            fusions[title] = {
                str(split): fused([place(options.runs, member, split) for member in members])
                for split in done
            }
    value = {"data": "JHMDB-14", "models": models, "fusions": fusions}
    write_text(RESULTS, json.dumps(value, indent=1) + "\n", force=True)
    return 0


def _mean(by_split: Mapping[str, float]) -> str:
    whole = len(by_split) == len(SPLITS)
    return f"**{np.mean(list(by_split.values())):.1f}**" if whole else ""


def _cells(by_split: Mapping[str, float]) -> str:
    cells = [f"{by_split[str(s)]:.1f}" if str(s) in by_split else "" for s in SPLITS]
    return " | ".join([*cells, _mean(by_split)])


def _tables(value: Mapping[str, Any]) -> str:
    lines = [
        "| model | parameters | file, MB | split 1 | split 2 | split 3 | mean | "
        "minutes a split | threads |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model, runs in value["models"].items():
        first = next(iter(runs.values()))
        scores = {split: one["accuracy"] for split, one in runs.items()}
        minutes = np.mean([one["minutes"] for one in runs.values()])
        lines.append(
            f"| {TITLES[model]} | {first['parameters']:,} | {first['file_bytes'] / 1e6:.2f} | "
            f"{_cells(scores)} | {minutes:.1f} | {first['settings']['threads']} |"
        )
    lines += ["", "| fusion | split 1 | split 2 | split 3 | mean |", "|---|---|---|---|---|"]
    lines += [f"| {title} | {_cells(scores)} |" for title, scores in value["fusions"].items()]
    return "\n".join(lines)


def _commands(value: Mapping[str, Any]) -> str:
    lines = ["| model | settings besides the common ones |", "|---|---|"]
    lines += [
        f"| {TITLES[model]} | `{' '.join(MODELS[model]) or 'none'}` |" for model in value["models"]
    ]
    return "\n".join(lines)


def page_text(value: Mapping[str, Any]) -> str:
    """The page, from the results alone."""
    first = next(iter(next(iter(value["models"].values())).values()))
    tested = [runs[str(s)]["tested_on"] for runs in value["models"].values() for s in SPLITS
              if str(s) in runs]  # fmt: skip
    error = 100 * (0.75 * 0.25 / min(tested)) ** 0.5
    return PAGE_TEXT.format(
        tables=_tables(value),
        commands=_commands(value),
        command=first["command"],
        common=" ".join(COMMON),
        seed=first["settings"]["seed"],
        error=f"{error:.1f}",
        torch=first["torch"],
        numpy=first["numpy"],
    )


PAGE_TEXT = """\
# Accuracy of the project's own models

<!-- Written by `python training/jhmdb.py page` from training/results/jhmdb14.json. -->

These networks were trained by this project, on CPU, with its own recipe (`training/`), to have models
of real people whose accuracy can be measured before and after every conversion.  They show that the
way from recordings to a deployed network is sound; they are not meant to be the best there are.

## JHMDB-14

609 recordings of 15 to 40 frames, 14 actions, 15 joints in two coordinates, one person, normalised by
the data set itself; three official splits of about 433 recordings to train on and 176 to test on.
Top-1 accuracy in percent on each split's test recordings, after the **last** epoch: no epoch was
chosen by its accuracy on the test split.  One split's figure has a standard error of about {error}.

{tables}

*Slim* networks have files of at most 2 MB in float32.  A fusion adds the probabilities of its members
with equal weights.

### How they were trained

{commands}

All with `{common}`, seed {seed}, torch {torch}, numpy {numpy}: for example

    {command}

All runs, and this page:

    python training/jhmdb.py train --data jhmdb14.pkl --labels jhmdb14_labels.txt --runs runs
    python training/jhmdb.py collect --runs runs
    python training/jhmdb.py page

A recording goes through the same steps here and in a deployed bundle: x and y, all frames resized
linearly to T = 40, one person, and for bone streams each joint seen from the one it hangs on.  In
training a clip is cut in time, mirrored, turned, stretched and moved (`training/augment.py`).  SGD
with Nesterov momentum, one cycle of the learning rate, label smoothing, dropout before the classifier.

Settings were compared on slim ST-GCN networks and split 1's *training* recordings alone, a quarter of
them held out (`--hold-out 0.25 --epochs 60`), where a figure has a standard error of 4: 82.4 and 81.5 %
(seeds 0 and 1) as it is, 76.9 and 79.6 % with mixup, 78.7 % with batches of 16 instead of 32 (seed 0).
The numbers of epochs follow from the time there was.

Minutes are of two CPU cores that other jobs kept busy, at low priority. On idle cores and two threads an
epoch takes 1.1 s for the slim ST-GCN, 4.2 s at full width.
"""


def page(options: argparse.Namespace) -> int:
    """Write the page, or with --check say whether it is stale."""
    text = page_text(json.loads(RESULTS.read_text(encoding="utf-8")))
    if not options.check:
        write_text(PAGE, text, force=True)
        return 0
    held = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    lines = difflib.unified_diff(
        held.splitlines(), text.splitlines(), str(PAGE), "fresh", lineterm=""
    )
    difference = list(lines)
    print("\n".join(difference))
    return 1 if difference else 0


def main() -> int:
    """Parse the command line and do one of the three."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train what is not trained yet")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--labels", type=Path, required=True)
    one.add_argument("--only", nargs="+", choices=tuple(MODELS))
    one.add_argument("--threads", type=int, default=2)
    one.set_defaults(act=train_all)
    two = commands.add_parser("collect", help="gather the results of finished runs")
    two.set_defaults(act=collect)
    for command in (one, two):
        command.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    three = commands.add_parser("page", help="write the page of results")
    three.add_argument("--check", action="store_true", help="only say whether it is stale")
    three.set_defaults(act=page)
    options = parser.parse_args()
    return int(options.act(options))


if __name__ == "__main__":
    sys.exit(main())
