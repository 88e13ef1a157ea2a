"""A layout of the user's own, from a small TOML or JSON file.

name = "my19"
joints = ["nose", "neck", ...]          # V names, in the order of the data
edges = [["neck", "nose"], [2, 1]]      # (child, parent), by name or 0-based index
center = "neck"
dimensions = 2                          # optional: 2 for image points, 3 for metres
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stgcn_deploy.errors import FileUnreadableError, UsageError, requires
from stgcn_deploy.registry import nearest
from stgcn_deploy.skeleton.layout import EdgeSet, Layout, left_right

__all__ = ["read_layout"]

MAX_BYTES = 1 << 20
REQUIRED = ("name", "joints", "edges", "center")
KNOWN = (*REQUIRED, "dimensions")


def read_layout(path: Path) -> Layout:
    """The layout in a file.

    Raises:
        FileUnreadableError: missing, too large, not TOML or JSON.
        UsageError: a field is missing, unknown or wrong.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileUnreadableError(f"{path} is too large for a layout.")
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text) if path.suffix == ".json" else _toml(text)
    except OSError as error:
        raise FileUnreadableError(f"cannot read the layout {path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise FileUnreadableError(
            f"{path} is not valid {path.suffix[1:].upper()}: {error}"
        ) from None
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: expected the fields {', '.join(REQUIRED)}.")
    for field in fields:
        if field not in KNOWN:
            raise UsageError(f"{path}: unknown field {field!r}{nearest(field, KNOWN)}")
    absent = [field for field in REQUIRED if field not in fields]
    if absent:
        raise UsageError(f"{path}: {', '.join(absent)} missing; expected {', '.join(REQUIRED)}.")
    joints = fields["joints"]
    if not isinstance(joints, list) or not all(isinstance(name, str) for name in joints):
        raise UsageError(f"{path}: joints must be a list of names.")
    edges = fields["edges"]
    if not isinstance(edges, list) or not all(isinstance(e, list) and len(e) == 2 for e in edges):
        raise UsageError(f"{path}: edges must be a list of [child, parent].")
    dimensions = fields.get("dimensions", 2)
    if dimensions not in (2, 3) or isinstance(dimensions, bool):
        raise UsageError(
            f"{path}: dimensions is {dimensions!r}; expected 2 (image points) or 3 (metres)."
        )
    return Layout(
        name=str(fields["name"]),
        joints=tuple(joints),
        edge_sets=(
            EdgeSet(
                path.stem,
                tuple((_joint(path, a, joints), _joint(path, b, joints)) for a, b in edges),
                _joint(path, fields["center"], joints),
            ),
        ),
        pairs=left_right(tuple(joints)),
        dimensions=dimensions,
    )


def _joint(path: Path, value: Any, joints: list[str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if value not in joints:
        raise UsageError(f"{path}: no joint is called {value!r}{nearest(str(value), joints)}")
    return joints.index(value)


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        with requires("reading TOML on Python 3.10", "pip install tomli"):
            import tomli as tomllib
    return tomllib.loads(text)
