"""From a trained skeleton-action checkpoint to verified, fast, running software.

import stgcn_deploy

stgcn_deploy.export("checkpoint.pth", "bundle")
with stgcn_deploy.load("bundle") as model:
    print(model.predict(clip).label)        # clip (M, T, V, C)
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

# Public names and where they live; resolved on first use, so that importing this stays instant.
_PUBLIC = {
    "Model": "stgcn_deploy.runtime",
    "StgcnError": "stgcn_deploy.errors",
    "ascend_pack": "stgcn_deploy.api",
    "ascend_run": "stgcn_deploy.api",
    "bench": "stgcn_deploy.api",
    "bench_live": "stgcn_deploy.api",
    "build": "stgcn_deploy.api",
    "compare": "stgcn_deploy.api",
    "data_bins_score": "stgcn_deploy.api",
    "data_bins_write": "stgcn_deploy.api",
    "data_convert": "stgcn_deploy.api",
    "data_info": "stgcn_deploy.api",
    "data_plot": "stgcn_deploy.api",
    "data_synth": "stgcn_deploy.api",
    "doctor": "stgcn_deploy.api",
    "evaluate": "stgcn_deploy.api",
    "export": "stgcn_deploy.api",
    "inspect": "stgcn_deploy.api",
    "layouts": "stgcn_deploy.api",
    "live_check": "stgcn_deploy.api",
    "live_run": "stgcn_deploy.api",
    "live_settings": "stgcn_deploy.api",
    "load": "stgcn_deploy.api",
    "pose_fetch": "stgcn_deploy.api",
    "predict": "stgcn_deploy.api",
    "profile": "stgcn_deploy.api",
    "tune": "stgcn_deploy.api",
    "quantize": "stgcn_deploy.api",
    "verify": "stgcn_deploy.api",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
