r"""Train a skeleton network of any family on recordings of any format that the package reads.

    python training/train.py --data jhmdb14.pkl --train-split train1 --test-split test1 \
        --labels jhmdb14_labels.txt --layout jhmdb15 --family stgcn --width 0.375 -o runs/slim

Recordings go through a contract, the very steps that a deployed bundle takes, and lie in memory; every
epoch sees them changed (augment.py).  SGD with Nesterov momentum, a one-cycle learning rate, label
smoothing.  RUNDIR holds model.pth (a checkpoint as the family's codebase saves it), curves.csv,
curves.png, scores.npz (logits of the test records) and result.json.

The accuracy that is reported is that of the last epoch.  The test split plays no part in training and
chooses nothing; its accuracy in between is for the curves alone.  To tune, use --hold-out.

All that is random follows from (seed, epoch), so that a run that was killed and taken up again with
--resume ends with the weights of one that was not.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from augment import Augmentation, View, augmented, mirrored_joints, mixed
from loop import Curves, Schedule, Task, accuracy, fit, logits_of
from material import Clips, default_contract, image_center, prepare, read_contract, stream_of
from networks import FAMILIES, Trainee, add_dropout, fresh, initialise, like, released

from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.dataset import Dataset, ReadOptions
from stgcn_deploy.data.formats import open_dataset
from stgcn_deploy.errors import StgcnError, UsageError
from stgcn_deploy.files import fresh_file, write_text
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.layout import Layout
from stgcn_deploy.skeleton.layouts import LAYOUTS

MODEL, STATE, RESULT, SCORES = "model.pth", "state.pt", "result.json", "scores.npz"
# Of the options, those that do not change what comes out.
ASIDE = ("out", "resume", "force", "stop_after")
HOLD_OUT_SEED = 20
ROUND_TRIP = 1e-4


@dataclass(frozen=True)
class Material:
    """What a run is trained and tested on."""

    train: Clips
    test: Clips
    classes: tuple[str, ...]
    layout: Layout
    steps: tuple[Step, ...]
    fps: float | None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = made.add_argument
    add("--data", type=Path, required=True, help="file or folder of recordings")
    add("--data-labels", type=Path, help="labels, where they stand apart from the recordings")
    add("--train-split", help="split to train on; by default every record")
    add("--test-split", help="split to test on")
    add(
        "--hold-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="test on this share of the training split instead, to tune without the test split",
    )
    add("--labels", type=Path, help="names of the classes, one a line")
    add("--layout", required=True, help="skeleton of the recordings")
    add("--fps", type=float, help="frames a second of the recordings, for the record")
    add("--contract", type=Path, help="steps that prepare a recording, as JSON")
    add("--frames", type=int, default=40, help="T of the default contract")
    add("--persons", type=int, default=1, help="M of the default contract")
    add("--stream", default="joint", choices=("joint", "bone", "joint_motion", "bone_motion"))
    add("--scored", action="store_true", help="scores are a third channel of the default contract")
    add("--family", default="stgcn", choices=tuple(FAMILIES))
    add("--width", type=float, default=1.0, help="share of the paper's channels")
    add("--like", type=Path, metavar="CHECKPOINT", help="architecture of a checkpoint, any family")
    add("--epochs", type=int, default=40)
    add("--batch", type=int, default=32)
    add("--learning-rate", type=float, default=0.1, help="peak of the one-cycle schedule")
    add("--momentum", type=float, default=0.9)
    add("--weight-decay", type=float, default=5e-4)
    add("--label-smoothing", type=float, default=0.1)
    add("--dropout", type=float, default=0.3, help="before the classifier")
    add("--mixup", type=float, default=0.0, metavar="ALPHA", help="0 is none")
    for name, value in asdict(Augmentation()).items():
        add(f"--{name}", type=float, default=value, help=f"see Augmentation.{name}")
    add("--seed", type=int, default=0)
    add(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="half the time where the CPU has bfloat16; where it has not, --no-bf16 is faster",
    )
    add("--threads", type=int, default=2)
    add("--test-every", type=int, default=5, metavar="EPOCHS", help="for the curves")
    add("--resume", action="store_true", help="take up a run that was interrupted")
    add("--force", action="store_true", help="replace what is in RUNDIR")
    add("--stop-after", type=int, metavar="EPOCHS", help="leave the run unfinished there")
    add("-o", "--out", type=Path, required=True, metavar="RUNDIR")
    return made  # fmt: skip


def material(options: argparse.Namespace) -> Material:
    """Read and prepare the recordings.

    Raises:
        StgcnError: any of its kinds: files, labels, splits, steps.
    """
    layout = LAYOUTS[options.layout]
    given = ReadOptions(labels=options.data_labels, layout=layout.name, fps=options.fps)
    data = open_dataset(options.data, given)
    train, test = chosen(data, options)
    if options.contract:
        steps = read_contract(options.contract)
    else:
        steps = default_contract(
            layout,
            frames=options.frames,
            persons=options.persons,
            stream=options.stream,
            scored=options.scored,
            pixels=data[int(train[0])].image_size is not None,
        )
    classes = class_names(data, options.labels)
    for indices in (train, test):
        data.check_labels(indices, len(classes))
    return Material(
        prepare(data, train, steps), prepare(data, test, steps), classes, layout, steps, options.fps
    )


def chosen(data: Dataset, options: argparse.Namespace) -> tuple[Any, Any]:
    """Indices to train and to test on; never the same ones."""
    train = data.select(options.train_split)
    if options.hold_out:
        if not 0 < options.hold_out < 1:
            raise UsageError(f"--hold-out must be between 0 and 1, got {options.hold_out}.")
        order = np.random.default_rng([HOLD_OUT_SEED, options.seed]).permutation(train)
        held = max(1, round(options.hold_out * len(order)))
        return np.sort(order[held:]), np.sort(order[:held])
    if options.test_split is None:
        raise UsageError("say what to test on: --test-split NAME, or --hold-out 0.2.")
    test = data.select(options.test_split)
    both = np.intersect1d(train, test)
    if len(both):
        raise UsageError(
            f"{len(both)} records are in both --train-split and --test-split, the first is "
            f"{data.where(int(both[0]))}; an accuracy on them would mean nothing."
        )
    return train, test


def class_names(data: Dataset, file: Path | None) -> tuple[str, ...]:
    """From the file of names, else from the data, else numbers."""
    if file is not None:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines())
        return tuple(name for name in names if name)
    return data.classes or tuple(str(number) for number in range(int(data.labels.max()) + 1))


def trainee(options: argparse.Namespace, found: Material) -> Trainee:
    """The network, initialised from the seed."""
    channels = found.train.clips.shape[-1]
    classes = len(found.classes)
    if options.like:
        made = like(
            options.like, channels=channels, classes=classes, joints=found.layout.num_joints
        )
    else:
        made = fresh(
            options.family, found.layout, channels=channels, classes=classes, width=options.width
        )
    initialise(made.network, options.seed)
    add_dropout(made.network, options.dropout)
    return made


def recipe(options: argparse.Namespace) -> dict[str, Any]:
    """The options that say what comes out, as plain values; of files the name."""
    plain = {key: value for key, value in vars(options).items() if key not in ASIDE}
    return {key: value.name if isinstance(value, Path) else value for key, value in plain.items()}


def command(options: argparse.Namespace) -> str:
    """What repeats this run, from a folder with its files; where it wrote to is nobody's concern."""
    words = ["python", "training/train.py"]
    defaults = parser()
    for key, value in recipe(options).items():
        if value is None or value == defaults.get_default(key):
            continue
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, str(value)]
    return shlex.join(words)


def save(path: Path, made: Trainee, found: Material, settings: Mapping[str, Any]) -> None:
    """Write the checkpoint, and read it back with the package's own recogniser.

    Raises:
        AssertionError: what was read is not the network that was trained.
    """
    _, _, persons, frames, _, _ = found.train.clips.shape
    entry = {
        "layout": found.layout.name,
        "frames": frames,
        "persons": persons,
        "stream": stream_of(found.steps),
        "fps": found.fps,
        "classes": list(found.classes),
        "contract": [{"name": s.name, "params": plain(s.params)} for s in found.steps],
        "recipe": dict(settings),
    }
    with fresh_file(path, force=True) as partial:
        torch.save({"state_dict": released(made), "stgcn_deploy": entry}, partial)
    read = load_checkpoint(path)
    some = found.test.clips[:4]
    ours, theirs = (logits_of(net, made.spec, some) for net in (made.network, read.network))
    apart = float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))
    assert read.codebase.name == made.codebase, (read.codebase.name, made.codebase)
    assert apart < ROUND_TRIP, f"{path} reads back with logits {apart:.2g} away"


def plain(value: Any) -> Any:
    """Lists, dicts and scalars only, which weights_only loading takes."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def task(options: argparse.Namespace, found: Material, made: Trainee) -> Task:
    """What the loop is to do, with this run's augmentation and schedule."""
    how = Augmentation(**{name: getattr(options, name) for name in asdict(Augmentation())})
    view = View(
        mirrored_joints(found.layout),
        image_center(found.steps),
        moves=stream_of(found.steps) == "joint",
    )

    def change(clips: Any, targets: Any, rng: np.random.Generator) -> Sequence[Any]:
        clips = augmented(clips, how, view, rng)
        return mixed(clips, targets, options.mixup, rng) if options.mixup else (clips, targets)

    schedule = Schedule(
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        label_smoothing=options.label_smoothing,
        seed=options.seed,
        bf16=options.bf16,
        test_every=options.test_every,
    )
    return Task(made.network, made.spec, lambda _: found.train, found.test, schedule, change)


def check_place(options: argparse.Namespace) -> None:
    """That nothing of an earlier run is lost unasked.

    Raises:
        UsageError: RUNDIR holds a run.
    """
    held = [name for name in (RESULT, STATE) if (options.out / name).exists()]
    if not held or options.force or (options.resume and held == [STATE]):
        return
    raise UsageError(
        f"{options.out} holds a run ({held[0]}); choose another -o, take it up with --resume if it is "
        "unfinished, or replace it with --force."
    )


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """One run; None where --stop-after left it unfinished."""
    check_place(options)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    # Bones of the root are zero, and what trickles back through them costs ten times the time.
    torch.set_flush_denormal(True)
    try:
        return trained(options)
    finally:
        torch.set_flush_denormal(False)


def trained(options: argparse.Namespace) -> dict[str, Any] | None:
    """See run; the place is free and the processor is set."""
    found = material(options)
    made = trainee(options, found)
    settings = plain(recipe(options))
    say(f"{len(found.train)} clips {found.train.clips.shape[1:]} to train on, {len(found.test)} to "
        f"test on, {sum(p.numel() for p in made.network.parameters())} parameters")  # fmt: skip
    state = options.out / STATE
    if not options.resume:
        state.unlink(missing_ok=True)
    curves = fit(task(options, found, made), state, settings, options.stop_after, say)
    if curves.epochs < options.epochs:
        say(f"left after epoch {curves.epochs}; take it up with --resume")
        return None
    return finish(options, found, made, curves, settings)


def finish(
    options: argparse.Namespace,
    found: Material,
    made: Trainee,
    curves: Curves,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Test the last epoch's weights and write what a run leaves behind."""
    scores = logits_of(made.network, made.spec, found.test.clips)
    save(options.out / MODEL, made, found, settings)
    with fresh_file(options.out / SCORES, force=True) as partial, partial.open("wb") as file:
        np.savez(file, logits=scores, labels=found.test.labels, names=np.array(found.test.names))
    result = {
        "accuracy": round(100 * accuracy(scores, found.test.labels), 2),
        "tested_on": len(found.test),
        "trained_on": len(found.train),
        "parameters": sum(p.numel() for p in made.network.parameters()),
        "file_bytes": (options.out / MODEL).stat().st_size,
        "minutes": round(curves.seconds / 60, 1),
        "codebase": made.codebase,
        "stream": stream_of(found.steps),
        "settings": settings,
        "command": command(options),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    curves.write(options.out)
    write_text(options.out / RESULT, json.dumps(result, indent=1) + "\n", force=True)
    (options.out / STATE).unlink(missing_ok=True)
    say(f"test accuracy {result['accuracy']} % of {result['tested_on']}, {result['minutes']} min")
    return result


def say(line: str) -> None:
    """Progress, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, report; 2 where the user has to change something."""
    try:
        run(parser().parse_args(arguments))
    except StgcnError as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
