"""layouts and doctor: what is known, and what is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgcn_deploy.api.common import layout_of
from stgcn_deploy.errors import UsageError

__all__ = ["doctor", "layouts"]


def layouts(
    name: str | None = None,
    *,
    edge_set: str | None = None,
    plot: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """What is known of the layouts: joints, mirrors, bone parents, edges, and who calls them what.

    Args:
        name: a layout, in any codebase's spelling, or your own .toml / .json file; all without.
        edge_set: only this one of its edge sets; the first is drawn without.
        plot: draw it into this .svg or .png file.
        force: replace that file.

    Returns:
        Layout name -> description; one entry where `name` is given.

    Raises:
        StgcnError: an unknown name, an unreadable file, or a picture that cannot be written.
    """
    from stgcn_deploy.skeleton.catalogue import describe
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    layout = layout_of(name)
    if layout is None:
        if edge_set is not None or plot is not None:
            raise UsageError("an edge set and a picture are of one layout; name it.")
        return {known: describe(LAYOUTS[known]) for known in LAYOUTS}
    from stgcn_deploy.skeleton.layout_drawing import edge_set_of, write_picture

    described = describe(layout)
    if edge_set is not None:
        chosen = layout.edge_sets.index(edge_set_of(layout, edge_set))
        described["edge_sets"] = [described["edge_sets"][chosen]]
    if plot is not None:
        write_picture(layout, Path(plot), edge_set=edge_set, force=force)
    return {layout.name: described}


def doctor() -> dict[str, Any]:
    """What is installed here, what this machine has, and which backends and builders work or why not."""
    from stgcn_deploy.backends.registry import BACKENDS
    from stgcn_deploy.builders.registry import BUILDERS
    from stgcn_deploy.measure.environment import environment
    from stgcn_deploy.measure.installed import extras
    from stgcn_deploy.measure.npu import read_npus

    backends = {}
    for name, backend in BACKENDS.items():
        reason = backend.available()
        backends[name] = {
            "usable": reason is None,
            "version": backend.version(),
            "reason": reason,
            "install": backend.install,
        }
    builders = {}
    for name, builder in BUILDERS.items():
        reason = builder.available()
        builders[name] = {"usable": reason is None, "reason": reason, "install": builder.install}
    return {
        **environment(),
        "backends": backends,
        "builders": builders,
        "npu": read_npus().as_dict(),
        "extras": extras(),
    }
