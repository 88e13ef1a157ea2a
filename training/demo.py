"""Train the bundled demonstration checkpoint: a slim two-stream ST-GCN on synthetic motion.

    python training/demo.py --run runs/demo --out runs/demo      # a killed run is taken up
    python training/demo.py --run runs/smoke --epochs 2 --clips 66 --eval-count 110 --out runs/smoke

The file is a plain state_dict with the key names of the two-stream ST-GCN codebases that the
Jetson guides deploy, so the demo walks the same road as a user's own checkpoint.

Every clip is seen once: the generator is endless and memorising is impossible, so dropout and
augmentation have no part here.  What varies from clip to clip is what pose estimators differ in: noise,
frames a second, lost joints.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import Schedule, Task, fit, logits_of
from material import Clips
from networks import Trainee, fresh, initialise, released
from train import plain, say

from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.data.synthetic import ACTIONS, iter_dataset, make_dataset
from stgcn_deploy.skeleton.layouts import LAYOUTS

LAYOUT, EDGE_SET, FRAMES = "mediapipe33", "guide", 150
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
MAX_FILE_BYTES = 1_450_000
ROUND_TRIP = 1e-4
# What every clip of the training draws anew, evenly between the two.
RANGES = {"noise": (0.002, 0.012), "fps": (12.0, 30.0), "missing": (0.0, 0.08)}
# What the accuracy of the card is measured with, and away from it.
USUAL: dict[str, Any] = {"frames": FRAMES, "fps": 25.0, "noise": 0.004, "missing": 0.03}
TESTS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "no noise, nothing lost": {"noise": 0.0, "missing": 0.0},
    "10 % lost": {"missing": 0.1},
    "100 frames": {"frames": 100},
    "15 frames a second": {"fps": 15.0},
    "30 frames a second": {"fps": 30.0},
    "noise 0.008": {"noise": 0.008},
    "noise 0.012": {"noise": 0.012},
}


@dataclass(frozen=True)
class Recipe:
    """How to train; `clips` are those of one epoch."""

    epochs: int = 40
    clips: int = 1650
    batch: int = 32
    learning_rate: float = 6e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.08
    width: float = 0.205
    bf16: bool = True


def drawn(count: int, epoch: int) -> Clips:
    """Training clips of one epoch, each with its own noise, frames a second and lost joints."""
    rng = np.random.default_rng([TRAIN_SEED, epoch])
    clips, labels = [], []
    for index in range(count):
        how = {name: float(rng.uniform(*ends)) for name, ends in RANGES.items()}
        action = ACTIONS[index % len(ACTIONS)]
        # One seed for each clip; those of validation and test are small numbers.
        seed = int(rng.integers(1 << 20, 1 << 50))
        clip, _ = next(iter(iter_dataset(1, seed=seed, actions=(action,), layout=LAYOUT,
                                         frames=FRAMES, **how)))  # fmt: skip
        clips.append(clip[None])
        labels.append(index % len(ACTIONS))
    names = tuple(f"{epoch}-{index}" for index in range(count))
    return Clips(np.stack(clips), np.array(labels, dtype=np.int64), names)


class Generator:
    """Clips of the epochs, the next one being made by another process while one is trained on."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.pool = pool
        self.count = count
        self.coming: dict[int, Future[Clips]] = {}

    def __call__(self, epoch: int) -> Clips:
        """The clips of an epoch."""
        for wanted in (epoch, epoch + 1):
            if wanted not in self.coming:
                self.coming[wanted] = self.pool.submit(drawn, self.count, wanted)
        return self.coming.pop(epoch).result()


def made(count: int, seed: int, **changes: Any) -> Clips:
    """A set of the usual settings, or with changes."""
    clips, labels = make_dataset(count, seed=seed, layout=LAYOUT, **{**USUAL, **changes})
    return Clips(clips[:, None], labels, tuple(map(str, range(count))))


def train(recipe: Recipe, run: Path, eval_count: int) -> tuple[Trainee, float]:
    """The trained network, and the minutes it took."""
    layout = LAYOUTS[LAYOUT]
    trainee = fresh("twostream", layout, channels=3, classes=len(ACTIONS), width=recipe.width,
                    edge_set=EDGE_SET)  # fmt: skip
    initialise(trainee.network, TRAIN_SEED)
    schedule = Schedule(
        epochs=recipe.epochs,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        momentum=0.0,
        weight_decay=recipe.weight_decay,
        label_smoothing=recipe.label_smoothing,
        seed=TRAIN_SEED,
        bf16=recipe.bf16,
        test_every=5,
        optimizer="adamw",
    )
    watched = made(min(eval_count, 550), VALIDATION_SEED)
    run.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1) as pool:
        clips = Generator(pool, recipe.clips)
        task = Task(trainee.network, trainee.spec, clips, watched, schedule,
                    lambda clips, targets, _: (clips, targets))  # fmt: skip
        curves = fit(task, run / "state.pt", plain(asdict(recipe)), None, say)
        pool.shutdown(cancel_futures=True)
    curves.write(run)
    return trainee, curves.seconds / 60


def confusion(trainee: Trainee, clips: Clips) -> Any:
    """Counts (true class, predicted class)."""
    table = np.zeros((len(ACTIONS), len(ACTIONS)), dtype=np.int64)
    found = logits_of(trainee.network, trainee.spec, clips.clips).argmax(axis=1)
    np.add.at(table, (clips.labels, found), 1)
    return table


def share(table: Any) -> float:
    """Of the clips on the diagonal, 0..1."""
    return round(float(np.trace(table) / table.sum()), 4)


def save(trainee: Trainee, path: Path) -> None:
    """Write the raw state_dict, and read it back with the package's own recogniser."""
    torch.save({key: value.contiguous() for key, value in released(trainee).items()}, path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than the {MAX_FILE_BYTES} of the wheel")
    some = made(11, TEST_SEED).clips
    read = load_checkpoint(path)
    ours, theirs = (logits_of(net, trainee.spec, some) for net in (trainee.network, read.network))
    assert np.abs(ours - theirs).max() < ROUND_TRIP * max(1.0, np.abs(ours).max())


def card(
    trainee: Trainee, recipe: Recipe, eval_count: int, minutes: float, command: str
) -> dict[str, Any]:
    """What the model is and what it reaches, for src/stgcn_deploy/assets."""
    sets = {"validation": made(eval_count, VALIDATION_SEED), "test": made(eval_count, TEST_SEED)}
    tables = {name: confusion(trainee, clips) for name, clips in sets.items()}
    test = tables["test"]
    away = {}
    for name, changes in TESTS.items():
        away[name] = share(confusion(trainee, made(min(eval_count, 550), TEST_SEED, **changes)))
        say(f"{name}: {100 * away[name]:.1f} %")
    return {
        "what": "slim two-stream ST-GCN for demonstrations; synthetic motion only, not a product",
        "classes": list(ACTIONS),
        "layout": LAYOUT,
        "edge_set": EDGE_SET,
        "strategy": "spatial_configuration",
        "motion": "first_difference",
        "input": [1, 3, FRAMES, LAYOUTS[LAYOUT].num_joints, 1],
        "input_axes": "NCTVM",
        "accuracy": {name: share(table) for name, table in tables.items()},
        "accuracy_away": away,
        "test_accuracy_per_class": {
            action: round(float(test[i, i] / test[i].sum()), 4) for i, action in enumerate(ACTIONS)
        },
        "test_confusion_true_by_predicted": test.tolist(),
        "counts": {
            "train": recipe.epochs * recipe.clips,
            "validation": eval_count,
            "test": eval_count,
        },
        "seeds": {"train": TRAIN_SEED, "validation": VALIDATION_SEED, "test": TEST_SEED},
        "generator": {"layout": LAYOUT, **USUAL},
        "generator_training": {name: list(ends) for name, ends in RANGES.items()},
        "recipe": plain(asdict(recipe)),
        "parameters": sum(p.numel() for p in trainee.network.parameters()),
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "command": command,
    }


def command_line(recipe: Recipe, options: Mapping[str, Any]) -> str:
    """The command that repeats this run; where it wrote to is nobody's concern."""
    words = ["python", "training/demo.py"]
    for name, value in asdict(recipe).items():
        if value == getattr(Recipe, name):
            continue
        flag = name.replace("_", "-")
        words += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    if options["threads"] != 2:
        words += ["--threads", str(options["threads"])]
    return shlex.join(words)


def main() -> None:
    """Parse the command line, train, evaluate, write the checkpoint, its labels and its card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the unfinished run")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write the three files to"
    )
    parser.add_argument("--eval-count", type=int, default=2200, help="clips per evaluation set")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    for name, value in asdict(Recipe()).items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=value)
        else:
            parser.add_argument(flag, type=type(value), default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    recipe = Recipe(**{name: getattr(options, name) for name in asdict(Recipe())})
    trainee, minutes = train(recipe, options.run, options.eval_count)
    options.out.mkdir(parents=True, exist_ok=True)
    save(trainee, options.out / "demo_twostream.pt")
    (options.out / "demo_labels.txt").write_text("\n".join(ACTIONS) + "\n", encoding="utf-8")
    made_card = card(
        trainee, recipe, options.eval_count, minutes, command_line(recipe, vars(options))
    )
    text = json.dumps(made_card, indent=1) + "\n"
    (options.out / "demo_card.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
