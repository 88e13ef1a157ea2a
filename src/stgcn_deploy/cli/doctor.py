"""stgcn doctor."""

from __future__ import annotations

from typing import Any

from stgcn_deploy.cli.console import print_json, print_table, say
from stgcn_deploy.cli.options import AsJson

__all__ = ["doctor"]


def doctor(as_json: AsJson = False) -> None:
    """List versions, CPU features, NPUs, and which backends and builders work here or why not."""
    from stgcn_deploy import api

    found = api.doctor()
    if as_json:
        print_json(found)
        return
    say(f"{found['cpu']}, {found['cores']} usable cores, {found['system']}")
    say(f"CPU features: {', '.join(found['cpu_features']) or 'unknown'}")
    print_table(("library", "version"), sorted(found["versions"].items()))
    print_table(
        ("backend", "usable", "version", "why not"),
        [
            (name, "yes" if b["usable"] else "NO", b["version"] or "-", b["reason"] or "")
            for name, b in found["backends"].items()
        ],
    )
    print_table(
        ("builder", "usable", "why not"),
        [
            (name, "yes" if b["usable"] else "NO", b["reason"] or "")
            for name, b in found["builders"].items()
        ],
    )
    _npus(found["npu"])
    rows = []
    for extra, libraries in found["extras"].items():
        install = libraries["install"]
        listed = ", ".join(f"{k} {v or 'absent'}" for k, v in libraries.items() if k != "install")
        rows.append((extra, listed, install or "complete"))
    print_table(("extra", "libraries", "install with"), rows)


def _npus(npu: dict[str, Any]) -> None:
    """The Ascend chips and what to compile for; one line where there are none."""
    if not npu["chips"]:
        say(f"Ascend NPU: none ({npu['reason']})")
        return
    print_table(
        ("NPU", "chip", "name", "health", "--soc-version"),
        [
            (
                str(one["npu"]),
                str(one["chip"]),
                one["name"],
                one["health"],
                one["soc_version"] or "npu-smi does not tell",
            )
            for one in npu["chips"]
        ],
        f"Ascend NPUs, driver {npu['driver'] or 'unknown'}",
    )
