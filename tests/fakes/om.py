"""The container that the stand-in of atc writes instead of an OM file, and other stand-ins read.

A zip, stored, with two members:

    model.onnx  the ONNX graph, every input fixed to the shape of one batch size
    meta.json   {"soc_version": str, "batch": int, "precision_mode": str,
                 "inputs": {name: shape}, "outputs": {name: shape}}

It computes with ONNX Runtime in float32 whatever `precision_mode` says: numbers of a real chip cannot
be had without one.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["FIELDS", "read_om", "write_om"]

FIELDS = {"soc_version", "batch", "precision_mode", "inputs", "outputs"}
MEMBERS = ["model.onnx", "meta.json"]
# Equal inputs give equal bytes.
DATE = (2020, 1, 1, 0, 0, 0)


def write_om(path: Path | str, model_bytes: bytes, meta: dict[str, Any]) -> None:
    """Write the container."""
    if set(meta) != FIELDS:
        raise ValueError(f"meta has {sorted(meta)}, expected {sorted(FIELDS)}")
    parts = (model_bytes, json.dumps(meta, sort_keys=True).encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, part in zip(MEMBERS, parts, strict=True):
            file.writestr(zipfile.ZipInfo(name, DATE), part)


def read_om(path: Path | str) -> tuple[bytes, dict[str, Any]]:
    """(bytes of model.onnx, meta); ValueError where it is no such container."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.namelist() != MEMBERS:
                raise ValueError(f"{path} holds {file.namelist()}, expected {MEMBERS}")
            model, meta = (file.read(name) for name in MEMBERS)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no OM container: {error}") from None
    said = json.loads(meta)
    if set(said) != FIELDS:
        raise ValueError(f"{path}: meta has {sorted(said)}, expected {sorted(FIELDS)}")
    return model, said
