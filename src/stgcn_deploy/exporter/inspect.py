"""What a checkpoint is: recognised, accounted for, counted; read facts apart from assumed ones."""

from __future__ import annotations

from typing import Any

from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.exporter.record import contract_of
from stgcn_deploy.models.families import FAMILIES, count_macs, graph_forms

__all__ = ["describe_checkpoint"]


def describe_checkpoint(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    """Plain values, in the order in which people want to read them."""
    spec = checkpoint.spec
    facts = [
        {"name": fact.name, "value": str(fact.value), "origin": fact.origin, "why": fact.why}
        for fact in checkpoint.facts
    ]
    return {
        "kind": "checkpoint",
        "file": str(checkpoint.path),
        "sha256": checkpoint.sha256,
        "codebase": checkpoint.codebase.name,
        "codebase_title": checkpoint.codebase.title,
        "family": spec.family,
        "family_title": FAMILIES[spec.family].title,
        "layout": str(checkpoint.match) if checkpoint.match else f"unknown (V={spec.num_joints})",
        "axes": spec.axes,
        "C": spec.in_channels,
        "T": checkpoint.frames,
        "V": spec.num_joints,
        "M": checkpoint.persons,
        "K": spec.num_subsets,
        "classes": spec.num_classes,
        "blocks": [block.out_channels for block in spec.blocks],
        "strides": [block.stride for block in spec.blocks],
        "parameters": checkpoint.num_parameters,
        "macs": count_macs(spec, frames=checkpoint.frames, persons=checkpoint.persons),
        "graph_forms": list(graph_forms(spec)),
        "preprocessing": contract_of(checkpoint)[0],
        "steps": list(checkpoint.steps),
        "facts": facts,
    }
