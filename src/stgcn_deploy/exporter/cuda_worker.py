"""The GPU benchmark's child process: a checkpoint as PyTorch runs it, or its bundle's graph as we do.

A call begins with arrays of the host and ends when the scores are there: copies and waiting are part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from stgcn_deploy.checkpoints.load import load_checkpoint
from stgcn_deploy.measure.worker import serve
from stgcn_deploy.torchrun.session import EXACT, open_session

__all__ = ["main", "prepare_cuda"]


def prepare_cuda(options: dict[str, Any]) -> Callable[[], object]:
    """Random arrays of `shapes` through one contender.

    "mode" is "eager" (the reference form, float32 without TF32), "eager-fp16" (autocast), "eager-compile",
    or "ours" (with "precision", "graphs", "compiled" and "channels_last" as in open_session).
    """
    torch.set_num_threads(options["threads"])
    rng = np.random.default_rng(0)
    feed = {
        name: rng.normal(0, 1, shape).astype(np.float32)
        for name, shape in options["shapes"].items()
    }
    if options["mode"] == "ours":
        wanted = {key: options[key] for key in ("precision", "compiled", "channels_last", "device")}
        session = open_session(options["model"], graphs=options["graphs"], **wanted)
        return lambda: session.run(feed)
    return _eager(options, list(feed.values()))


def _eager(options: dict[str, Any], arrays: list[Any]) -> Callable[[], object]:
    """As it is usually written: tensors to the device, the network, scores back."""
    device = torch.device(options["device"])
    network = load_checkpoint(options["checkpoint"]).network.eval().to(device)
    run: Any = torch.compile(network) if options["mode"].endswith("compile") else network
    half = options["mode"].endswith("fp16")

    def call() -> object:
        lower = torch.autocast(device.type, torch.float16) if half else nullcontext()
        with EXACT, torch.inference_mode(), lower:
            return run(*(torch.from_numpy(one).to(device) for one in arrays)).float().cpu().numpy()

    return call


def main() -> None:
    """Serve one contender."""
    serve(prepare_cuda)


if __name__ == "__main__":
    main()
