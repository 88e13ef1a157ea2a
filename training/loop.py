"""The training loop: epochs over arrays, a state on disk after each, curves.

Nothing random outlives an epoch: order, augmentation and dropout are drawn from (seed, epoch) anew,
and the learning rate is a function of the step.  So the state is weights, momenta and the curves.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from material import Clips
from numpy.typing import NDArray
from torch import Tensor, nn

from stgcn_deploy.errors import UsageError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.inputs import make_feed

__all__ = ["Curves", "Schedule", "Task", "accuracy", "fit", "logits_of", "one_cycle"]

Floats = NDArray[np.float32]
# (clips (N, M, T, V, C), targets (N, classes), rng) -> both, changed.
Change = Callable[[Floats, Floats, np.random.Generator], Sequence[Floats]]
COLUMNS = ("epoch", "learning_rate", "loss", "train_accuracy", "test_accuracy", "seconds")
LARGEST_GRADIENT = 5.0
# One cycle: the share of steps on the way up, and the rate at both ends, of the peak.
RISE, START, END = 0.25, 0.04, 1e-4
TEST_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """How to train."""

    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    seed: int
    bf16: bool
    test_every: int
    optimizer: Literal["sgd", "adamw"] = "sgd"


@dataclass(frozen=True)
class Task:
    """What to train, on what.

    Attributes:
        train: the clips of an epoch: the same ones each time, or fresh ones from a generator.
    """

    network: nn.Module
    spec: NetworkSpec
    train: Callable[[int], Clips]
    test: Clips
    schedule: Schedule
    change: Change


@dataclass
class Curves:
    """One row an epoch, see COLUMNS; no test accuracy where it was not measured."""

    rows: list[dict[str, float | None]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Of all epochs."""
        return sum(float(row["seconds"] or 0) for row in self.rows)

    def write(self, folder: Path) -> None:
        """curves.csv and curves.png."""
        with fresh_file(folder / "curves.csv", force=True) as partial:  # noqa: SIM117
            with partial.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(self.rows)
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        epochs = range(1, self.epochs + 1)
        left.plot(epochs, [row["loss"] for row in self.rows])
        left.set(title="loss on augmented clips", xlabel="epoch")
        right.plot(epochs, [row["train_accuracy"] for row in self.rows], label="train, augmented")
        tested = [(row["epoch"], row["test_accuracy"]) for row in self.rows
                  if row["test_accuracy"] is not None]  # fmt: skip
        if tested:
            right.plot(*zip(*tested, strict=True), "o-", label="test")
        right.set(title="accuracy, %", xlabel="epoch")
        right.legend()
        with fresh_file(folder / "curves.png", force=True) as partial:
            figure.savefig(partial, dpi=110, format="png")


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate of a step: up to `peak` and down to nearly nothing, along cosines."""
    top = max(1.0, RISE * steps)
    if step < top:
        low, share = START, 1 - step / top
    else:
        low, share = END, (step - top) / max(1.0, steps - top)
    return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))


def feeds(spec: NetworkSpec, batch: Floats) -> tuple[Tensor, ...]:
    """A batch (N, M, T, V, C) as the inputs of the network."""
    made = make_feed(spec.inputs, batch)
    return tuple(torch.from_numpy(np.ascontiguousarray(made[one.name])) for one in spec.inputs)


@torch.no_grad()
def logits_of(network: nn.Module, spec: NetworkSpec, clips: Floats) -> Floats:
    """Logits (N, classes) of (N, K, M, T, V, C), the mean over a recording's K clips; float32."""
    network.eval()
    found = []
    for start in range(0, len(clips), TEST_BATCH):
        part = clips[start : start + TEST_BATCH]
        out = network(*feeds(spec, part.reshape(-1, *part.shape[2:])))
        found.append(out.numpy().reshape(*part.shape[:2], -1).mean(axis=1))
    return np.concatenate(found)


def accuracy(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Top-1, 0..1."""
    return float((logits.argmax(axis=1) == labels).mean())


def _optimizer(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Weight decay pulls at weights only: not at norms, biases, graphs and masks."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for module in network.modules():
        weighty = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear))
        for name, weight in module.named_parameters(recurse=False):
            (decayed if weighty and name == "weight" else free).append(weight)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate)
    return torch.optim.SGD(
        groups, lr=schedule.learning_rate, momentum=schedule.momentum, nesterov=True
    )


def _batches(task: Task, train: Clips, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """One epoch in random order; each recording by one of its clips, changed."""
    smoothing, classes = task.schedule.label_smoothing, task.spec.num_classes
    order = rng.permutation(len(train))
    targets = np.full((classes, classes), smoothing / classes, np.float32)
    targets += np.eye(classes, dtype=np.float32) * (1 - smoothing)
    # Batches of about one size: a last one of a clip or two would upset the batch norms.
    for part in np.array_split(order, max(1, round(len(order) / task.schedule.batch))):
        which = rng.integers(0, train.clips.shape[1], len(part))
        clips, wanted = task.change(train.clips[part, which], targets[train.labels[part]], rng)
        yield np.asarray(clips, np.float32), np.asarray(wanted, np.float32)


def _loss(spec: NetworkSpec, logits: Tensor, targets: Tensor) -> Tensor:
    if spec.activation == "sigmoid":
        return nn.functional.binary_cross_entropy_with_logits(logits, targets)
    return nn.functional.cross_entropy(logits, targets)


def _epoch(task: Task, optimizer: torch.optim.Optimizer, epoch: int) -> dict[str, float | None]:
    schedule = task.schedule
    rng = np.random.default_rng([schedule.seed, epoch])
    torch.manual_seed(int(rng.integers(1 << 62)))
    task.network.train()
    began = time.monotonic()
    train = task.train(epoch)
    per_epoch = max(1, round(len(train) / schedule.batch))
    rate, losses, hits = 0.0, 0.0, 0
    for index, (clips, targets) in enumerate(_batches(task, train, rng)):
        step = epoch * per_epoch + index
        rate = one_cycle(step, schedule.epochs * per_epoch, schedule.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=schedule.bf16):
            logits = task.network(*feeds(task.spec, clips))
        wanted = torch.from_numpy(targets)
        loss = _loss(task.spec, logits.float(), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        losses += loss.item() * len(clips)
        hits += int((logits.argmax(dim=1) == wanted.argmax(dim=1)).sum())
    total = len(train)
    row = {"epoch": epoch + 1, "learning_rate": rate, "loss": losses / total}
    return {
        **row,
        "train_accuracy": 100 * hits / total,
        "test_accuracy": None,
        "seconds": time.monotonic() - began,
    }


def fit(
    task: Task,
    state: Path,
    settings: Mapping[str, Any],
    stop_after: int | None,
    say: Callable[[str], None],
) -> Curves:
    """Train to the end, or to epoch `stop_after`; takes up the run in `state` if there is one.

    Raises:
        UsageError: the run in `state` had other settings, or the loss is no number any more.
    """
    optimizer = _optimizer(task.network, task.schedule)
    curves = Curves()
    if state.exists():
        curves = _taken_up(task, optimizer, state, settings)
        say(f"taken up after epoch {curves.epochs}")
    last = min(task.schedule.epochs, stop_after or task.schedule.epochs)
    for epoch in range(curves.epochs, last):
        row = _epoch(task, optimizer, epoch)
        if not math.isfinite(row["loss"] or 0.0):
            raise UsageError(
                f"epoch {epoch + 1}: the loss is not a number; try a lower --learning-rate, or "
                "--no-bf16."
            )
        if (epoch + 1) % task.schedule.test_every == 0:
            scores = logits_of(task.network, task.spec, task.test.clips)
            row["test_accuracy"] = 100 * accuracy(scores, task.test.labels)
        curves.rows.append(row)
        shown = row["test_accuracy"]
        say(f"epoch {epoch + 1}/{task.schedule.epochs}  loss {row['loss']:.3f}  train "
            f"{row['train_accuracy']:.1f} %" + (f"  test {shown:.1f} %" if shown else "")
            + f"  {row['seconds']:.1f} s")  # fmt: skip
        with fresh_file(state, force=True) as partial:
            held = {
                "network": task.network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "curves": curves.rows,
                "settings": dict(settings),
            }
            torch.save(held, partial)
    return curves


def _taken_up(
    task: Task, optimizer: torch.optim.Optimizer, state: Path, settings: Mapping[str, Any]
) -> Curves:
    held = torch.load(state, weights_only=True)
    other = sorted(key for key in {*settings, *held["settings"]}
                   if settings.get(key) != held["settings"].get(key))  # fmt: skip
    if other:
        raise UsageError(
            f"{state} is of a run with other settings ({', '.join(other)}); give the same ones, or "
            "start anew with --force."
        )
    task.network.load_state_dict(held["network"])
    optimizer.load_state_dict(held["optimizer"])
    return Curves(list(held["curves"]))
