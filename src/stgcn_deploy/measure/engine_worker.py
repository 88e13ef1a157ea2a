"""The child process that runs a TensorRT engine call by call, without a CUDA graph, see worker.

It is what a profiled engine is compared with: layers can be timed only where each is started for itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgcn_deploy.measure.worker import ModelCall, random_feed, serve

__all__ = ["main"]


def _prepare(options: dict[str, Any]) -> ModelCall:
    from stgcn_deploy.backends.tensorrt_session import open_engine

    session = open_engine(Path(options["model"]), graphs=False).sessions[0]
    return ModelCall(session, random_feed(options["shapes"]))


def main() -> None:
    """Serve an engine."""
    serve(_prepare)


if __name__ == "__main__":
    main()
