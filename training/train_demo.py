"""Train the bundled demonstration checkpoint: a slim two-stream ST-GCN on synthetic motion.

    python training/train_demo.py                    # about 25 minutes on two CPU cores
    python training/train_demo.py --steps 40 --eval-count 110 --out /some/dir      # a smoke run

The file is a plain state_dict with the key names of the two-stream ST-GCN codebases that the
Jetson guides deploy, so the demo walks the same road as a user's own checkpoint.  The network below
is therefore written for training and for those names, apart from the package's own models:

    x (N, C, T, V, M);  m[0] = 0, m[t] = x[t] - x[t-1];  logits = origin(x) + motion(m)
    stream: data_bn over V*C -> 10 blocks -> mean over T, V, then M -> 1x1 convolution
    block:  ReLU( BN conv9 ReLU BN sum_k (conv1x1_k x) (A_k * edge_importance_k) + residual )

Every training clip is seen once: the generator is endless and memorising is impossible, so dropout
and augmentation have no part here.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stgcn_deploy.data.synthetic import ACTIONS, iter_dataset, make_dataset
from stgcn_deploy.skeleton.adjacency import build
from stgcn_deploy.skeleton.layouts import LAYOUTS

LAYOUT = "mediapipe33"
STRIDED_BLOCKS = (4, 7)
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
MAX_FILE_BYTES = 1_450_000
ASSETS = Path(__file__).resolve().parent.parent / "src" / "stgcn_deploy" / "assets"


@dataclass(frozen=True)
class ClipSettings:
    """What the generator is asked for; the card records it."""

    frames: int = 150
    fps: float = 25.0
    noise: float = 0.004
    missing: float = 0.03


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    steps: int = 2000
    batch: int = 32
    learning_rate: float = 6e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.08
    warmup_steps: int = 40
    calibration_batches: int = 40
    bf16: bool = False
    widths: tuple[int, ...] = (16, 16, 16, 16, 28, 28, 28, 48, 48, 48)


class GraphConv(nn.Module):
    """The 1x1 convolutions of all K subsets, and the graph product."""

    def __init__(self, in_channels: int, out_channels: int, num_subsets: int) -> None:
        super().__init__()
        self.num_subsets = num_subsets
        self.conv = nn.Conv2d(in_channels, num_subsets * out_channels, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(N, C, T, V), (K, V, V) -> (N, C', T, V)."""
        n, c, t, v = x.shape
        k = self.num_subsets
        # Graph first, convolution second is the same sum in another order and trains faster on a
        # CPU: one product with (V, K V), one convolution.  The bias passes through the graph.
        gathered = x.reshape(-1, v) @ adjacency.permute(1, 0, 2).reshape(v, k * v)
        gathered = gathered.reshape(n, c, t, k, v).permute(0, 3, 1, 2, 4).reshape(n, k * c, t, v)
        weight = self.conv.weight.reshape(k, -1, c).permute(1, 0, 2).reshape(-1, k * c, 1, 1)
        assert self.conv.bias is not None
        bias = torch.einsum("kc,kw->cw", self.conv.bias.reshape(k, -1), adjacency.sum(dim=1))
        return nn.functional.conv2d(gathered, weight) + bias[:, None]


class Block(nn.Module):
    """One spatial-temporal block; the first of a stream has no residual."""

    def __init__(
        self, in_channels: int, out_channels: int, *, num_subsets: int, stride: int, first: bool
    ) -> None:
        super().__init__()
        self.first = first
        self.gcn = GraphConv(in_channels, out_channels, num_subsets)
        # Positions 0, 2 and 3 carry the weights; 4 is the codebase's dropout, off in this recipe.
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(0.0),
        )
        if not first and (in_channels != out_channels or stride != 1):
            self.residual: nn.Module = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
            )
        else:
            self.residual = nn.Identity()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(N, C, T, V), (K, V, V) -> (N, C', T', V)."""
        y: Tensor = self.tcn(self.gcn(x, adjacency))
        return torch.relu(y if self.first else y + self.residual(x))


class Stream(nn.Module):
    """A one-stream ST-GCN."""

    A: Tensor

    def __init__(self, adjacency: Tensor, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        num_subsets, num_joints, _ = adjacency.shape
        self.register_buffer("A", adjacency)
        self.data_bn = nn.BatchNorm1d(3 * num_joints)
        self.st_gcn_networks = nn.ModuleList(
            Block(
                widths[index - 1] if index else 3,
                width,
                num_subsets=num_subsets,
                stride=2 if index in STRIDED_BLOCKS else 1,
                first=index == 0,
            )
            for index, width in enumerate(widths)
        )
        self.edge_importance = nn.ParameterList(
            nn.Parameter(torch.ones_like(adjacency)) for _ in widths
        )
        self.fcn = nn.Conv2d(widths[-1], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M) -> logits (N, classes)."""
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.data_bn(x).reshape(n * m, v, c, t).permute(0, 2, 3, 1)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        pooled = x.mean(dim=(2, 3)).reshape(n, m, -1).mean(dim=1)
        return torch.as_tensor(self.fcn(pooled[:, :, None, None])[:, :, 0, 0])


class TwoStream(nn.Module):
    """Joints and their motion, logits added."""

    def __init__(self, adjacency: Tensor, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.origin_stream = Stream(adjacency, widths, num_classes)
        self.motion_stream = Stream(adjacency, widths, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M) -> logits (N, classes)."""
        motion = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:] - x[:, :, :-1]], dim=2)
        return torch.as_tensor(self.origin_stream(x) + self.motion_stream(motion))


def to_network(clips: NDArray[np.float32]) -> Tensor:
    """Clips (N, M, T, V, C) in the codebase's order (N, C, T, V, M)."""
    return torch.from_numpy(clips).permute(0, 4, 2, 3, 1).contiguous()


def batches(recipe: Recipe, settings: ClipSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """Fresh training clips, (N, C, T, V, M) and labels (N,), until the steps are done."""
    # The calibration of the batch norms takes the clips that follow those of the training.
    count = (recipe.steps + recipe.calibration_batches) * recipe.batch
    samples = iter_dataset(count, seed=TRAIN_SEED, layout=LAYOUT, **asdict(settings))
    while chunk := list(islice(samples, recipe.batch)):
        clips, labels = zip(*chunk, strict=True)
        yield to_network(np.stack(clips)), torch.tensor(labels)


def optimizer_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; batch norms, biases and edge importances are not pulled towards zero."""
    named = list(model.named_parameters())
    kernels = [p for name, p in named if p.ndim > 1 and "edge_importance" not in name]
    others = [p for name, p in named if p.ndim <= 1 or "edge_importance" in name]
    return torch.optim.AdamW(
        [
            {"params": kernels, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate: linear warm-up, then half a cosine down to 1 %."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done)))


@torch.no_grad()
def calibrate(model: nn.Module, stream: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Replace the batch norms' running statistics by exact means over the remaining batches.

    The moving average that training leaves behind mixes statistics of older weights.
    """
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for clips, _ in stream:
        model(clips)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    model.eval()


@torch.no_grad()
def confusion(model: nn.Module, clips: NDArray[np.float32], labels: NDArray[np.int64]) -> Tensor:
    """Counts (true class, predicted class)."""
    model.eval()
    table = torch.zeros(len(ACTIONS), len(ACTIONS), dtype=torch.long)
    for start in range(0, len(clips), 64):
        predicted = model(to_network(clips[start : start + 64])).argmax(dim=1)
        for true, guess in zip(labels[start : start + 64], predicted, strict=True):
            table[int(true), int(guess)] += 1
    return table


def accuracy(table: Tensor) -> float:
    """Top-1 accuracy in 0..1."""
    return float(table.trace() / table.sum())


def train(recipe: Recipe, settings: ClipSettings, eval_count: int) -> TwoStream:
    """Train on an endless stream of clips; report on the validation set now and then."""
    adjacency = build(LAYOUTS[LAYOUT], "spatial_configuration", edge_set="guide")
    torch.manual_seed(TRAIN_SEED)
    model = TwoStream(torch.from_numpy(adjacency).float(), recipe.widths, len(ACTIONS))
    optimizer = optimizer_for(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: learning_rate_at(s, recipe))
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    watched = make_dataset(eval_count, seed=VALIDATION_SEED, layout=LAYOUT, **asdict(settings))
    stream = batches(recipe, settings)
    began, losses, hits = time.monotonic(), [0.0], [0.0]
    for step, (clips, labels) in enumerate(islice(stream, recipe.steps), start=1):
        model.train()
        # Half the time per step where the CPU has bfloat16; weights and statistics stay float32.
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = model(clips)
        loss = loss_of(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        hits.append(float((logits.argmax(dim=1) == labels).float().mean()))
        if step % 25 == 0:
            took = time.monotonic() - began
            say(
                f"step {step}/{recipe.steps}  loss {np.mean(losses[-25:]):.3f}  "
                f"batch accuracy {100 * np.mean(hits[-25:]):.1f} %  {took:.0f} s, "
                f"{took / step * (recipe.steps - step):.0f} s to go"
            )
        if step % 250 == 0:
            say(f"  validation accuracy {100 * accuracy(confusion(model, *watched)):.1f} %")
    calibrate(model, stream)
    return model


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def evaluate(
    model: TwoStream, settings: ClipSettings, eval_count: int
) -> tuple[dict[str, float], dict[str, float], list[list[int]]]:
    """Accuracy per set, per class on the test set, and the test set's confusion table."""
    results = {}
    table = torch.zeros(0)
    for name, seed in (
        ("train", TRAIN_SEED),
        ("validation", VALIDATION_SEED),
        ("test", TEST_SEED),
    ):
        clips, labels = make_dataset(eval_count, seed=seed, layout=LAYOUT, **asdict(settings))
        table = confusion(model, clips, labels)
        results[name] = round(accuracy(table), 4)
        say(f"{name} accuracy {100 * results[name]:.2f} % of {eval_count}")
    per_class = {
        action: round(float(table[i, i] / table[i].sum()), 4) for i, action in enumerate(ACTIONS)
    }
    return results, per_class, table.tolist()


def save(model: TwoStream, path: Path) -> None:
    """Write the raw state_dict and read it back the careful way."""
    torch.save({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    stored = torch.load(path, weights_only=True, map_location="cpu")
    assert all(torch.equal(stored[key], value) for key, value in model.state_dict().items())
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise SystemExit(f"{path} has {size} bytes, more than the {MAX_FILE_BYTES} of the wheel")


def command_line(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The command that repeats this run; where it wrote to is nobody's concern."""
    words = ["python", "training/train_demo.py"]
    for name, value in vars(options).items():
        if name == "out" or value == parser.get_default(name):
            continue
        flag = name.replace("_", "-")
        words += (
            [f"--{'' if value else 'no-'}{flag}"] if name == "bf16" else [f"--{flag}", str(value)]
        )
    return shlex.join(words)


def main() -> None:
    """Parse the command line, train, evaluate, write the checkpoint, its labels and its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to write into")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="training batches")
    parser.add_argument("--batch", type=int, default=Recipe.batch, help="clips per batch")
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--eval-count", type=int, default=2200, help="clips per evaluation set")
    parser.add_argument("--noise", type=float, default=ClipSettings.noise)
    parser.add_argument("--missing", type=float, default=ClipSettings.missing)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train in bfloat16; on a CPU that lacks it, --no-bf16 is faster",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = Recipe(
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
        bf16=options.bf16,
    )
    settings = ClipSettings(noise=options.noise, missing=options.missing)
    began = time.monotonic()
    model = train(recipe, settings, min(options.eval_count, 550))
    results, per_class, table = evaluate(model, settings, options.eval_count)
    options.out.mkdir(parents=True, exist_ok=True)
    save(model, options.out / "demo_twostream.pt")
    (options.out / "demo_labels.txt").write_text("\n".join(ACTIONS) + "\n")
    card = {
        "what": "slim two-stream ST-GCN for demonstrations; synthetic motion only, not a product",
        "classes": list(ACTIONS),
        "layout": LAYOUT,
        "edge_set": "guide",
        "strategy": "spatial_configuration",
        "motion": "first_difference",
        "input": [1, 3, settings.frames, LAYOUTS[LAYOUT].num_joints, 1],
        "input_axes": "NCTVM",
        "accuracy": results,
        "test_accuracy_per_class": per_class,
        "test_confusion_true_by_predicted": table,
        "counts": {
            "train": recipe.steps * recipe.batch,
            "batch_norm_calibration": recipe.calibration_batches * recipe.batch,
            "validation": options.eval_count,
            "test": options.eval_count,
        },
        "epochs": 1,
        "seeds": {"train": TRAIN_SEED, "validation": VALIDATION_SEED, "test": TEST_SEED},
        "generator": {"layout": LAYOUT, **asdict(settings)},
        "recipe": asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "threads": options.threads,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "command": command_line(parser, options),
    }
    (options.out / "demo_card.json").write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
