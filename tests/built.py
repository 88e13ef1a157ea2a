"""Bundles with files that a vendor's tool is said to have built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stgcn_deploy.bundle import Bundle, write_bundle

__all__ = ["build_record", "with_builds"]


def build_record(bundle: Path, batches: Sequence[int], file: str, **fields: Any) -> dict[str, Any]:
    """The manifest's record of a file for these batch sizes; fp32 on an Ascend310P3 if not said."""
    manifest = Bundle(bundle).manifest
    shapes = {
        name: [manifest.shapes_at(batch)[name] for batch in batches]
        for name in manifest.input_shapes
    }
    precision = fields.get("actual", "fp32")
    return {
        "target": "ascend",
        "file": file,
        "requested": precision,
        "actual": precision,
        "attempts": [{"precision": precision, "outcome": "built"}],
        "shapes": shapes,
        "device": "Ascend310P3",
        "layers": {},
        "tools": {"atc": "stand-in"},
        "command": ["atc"],
        **fields,
    }


def with_builds(
    bundle: Path, target: Path, files: Mapping[str, tuple[bytes, Mapping[str, Any]]]
) -> Path:
    """A copy of a bundle with files beside its graph: name -> (bytes, record)."""
    shutil.copytree(bundle, target)
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    for field in ("files", "schema_version"):
        del manifest[field]
    for name, (data, record) in files.items():
        (target / name).write_bytes(data)
        manifest["builds"] = [*manifest["builds"], dict(record)]
    write_bundle(target, manifest)
    return target
