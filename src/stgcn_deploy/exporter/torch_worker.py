"""The benchmark's child process for PyTorch: a checkpoint's reference form, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stgcn_deploy.measure.worker import serve

__all__ = ["main"]


def prepare_torch(options: dict[str, Any]) -> Callable[[], object]:
    """Random inputs of `shapes` through the reference form.

    `mode` is "eager", "compile" or "compile-bf16" (autocast around the compiled network).
    """
    import torch

    from stgcn_deploy.checkpoints.load import load_checkpoint

    torch.set_num_threads(options["threads"])
    network = load_checkpoint(options["checkpoint"]).network
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator) for shape in options["shapes"].values()]
    mode = options["mode"]
    run = torch.compile(network) if mode.startswith("compile") else network

    def call() -> object:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=mode.endswith("bf16")),
        ):
            return run(*inputs)

    return call


def main() -> None:
    """Serve a checkpoint."""
    serve(prepare_torch)


if __name__ == "__main__":
    main()
