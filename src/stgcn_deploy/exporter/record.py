"""The manifest of an export: everything the run half must know, from what the build half knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from stgcn_deploy.checkpoints.base import Setting
from stgcn_deploy.checkpoints.load import LoadedCheckpoint
from stgcn_deploy.exporter.exporter import EXPORTER
from stgcn_deploy.exporter.presets import DYNAMIC_RANGES, ExportOptions
from stgcn_deploy.manifest import SCHEMA_VERSION, Manifest
from stgcn_deploy.measure.environment import versions
from stgcn_deploy.measure.verify import VerifyReport
from stgcn_deploy.models.families import count_macs
from stgcn_deploy.skeleton.contract import Step

# The step that turns joints into bones or motion.
STREAM = "stream"

__all__ = ["contract_of", "draft_manifest", "manifest_fields", "parity_fields"]


def draft_manifest(fields: Mapping[str, Any]) -> Manifest:
    """The manifest before its files are hashed, for making probes."""
    return Manifest.model_validate({**fields, "schema_version": SCHEMA_VERSION, "files": {}})


def parity_fields(report: VerifyReport) -> dict[str, Any]:
    """A verification in numbers."""
    parts = [report.golden, *([report.reference] if report.reference else [])]
    return {
        "backend": report.backend,
        "cases": sum(len(part.cases) for part in parts),
        "max_error": max(part.max_error for part in parts),
        "p99_error": max(part.p99_error for part in parts),
        "mean_error": float(np.mean([part.mean_error for part in parts])),
        "top1_agreement": min(part.top1_agreement for part in parts),
        "tolerance": report.golden.tolerance,
        "inert": list(report.inert),
    }


def _layout_fields(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    match = checkpoint.match
    adjacency = np.ascontiguousarray(checkpoint.adjacency, dtype=np.float32)
    numbered = [f"joint {index}" for index in range(checkpoint.spec.num_joints)]
    return {
        "name": match.layout.name if match else None,
        "exact": match.exact if match else False,
        "edge_set": match.edge_set.name if match else None,
        "strategy": match.strategy if match else None,
        "joints": list(match.layout.joints) if match else numbered,
        "edges": [list(edge) for edge in match.edge_set.edges] if match else [],
        "adjacency_sha256": hashlib.sha256(adjacency.tobytes()).hexdigest(),
    }


def _sources(checkpoint: LoadedCheckpoint) -> list[dict[str, Any]]:
    """The files that the weights come from, one for each stream."""
    shared = checkpoint.facts if checkpoint.members else ()
    parts = checkpoint.members or ((checkpoint.hints.stream or "joint", 1.0, checkpoint),)
    return [
        {
            "file": one.path.name,
            "sha256": one.sha256,
            "codebase": one.codebase.name,
            "stream": stream,
            "weight": weight,
            "facts": [asdict(fact) for fact in (*shared, *one.facts)],
        }
        for stream, weight, one in parts
    ]


def _ranges(checkpoint: LoadedCheckpoint, options: ExportOptions) -> dict[str, tuple[int, int]]:
    """The range of each open axis that verification covers, widened to hold the traced size."""
    sizes = {"N": options.batch, "T": checkpoint.frames, "M": checkpoint.persons}
    return {
        axis: (min(DYNAMIC_RANGES[axis][0], sizes[axis]), max(DYNAMIC_RANGES[axis][1], sizes[axis]))
        for axis in sorted(options.dynamic)
    }


def contract_of(checkpoint: LoadedCheckpoint) -> tuple[str, tuple[Step, ...]]:
    """What makes a clip of a recording, in words and as steps: the checkpoint's own, or its codebase's."""
    setting = Setting(
        layout=checkpoint.match.layout if checkpoint.match else None,
        frames=checkpoint.frames,
        persons=checkpoint.persons,
        # An ensemble's graph makes its streams of the joints itself.
        stream="joint" if checkpoint.members else checkpoint.hints.stream or "joint",
    )
    given = checkpoint.hints.contract
    words = checkpoint.codebase.preprocessing
    if given is None:
        given = checkpoint.codebase.steps(checkpoint.spec, setting)
    else:
        if checkpoint.members:
            # Of an ensemble, the files' own steps may make a stream; its graph makes them all.
            given = tuple(step for step in given if step.name != STREAM)
        words = f"not as its codebase does, but by: {', '.join(step.name for step in given)}"
    return words, tuple(given)


def _contract_fields(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    words, given = contract_of(checkpoint)
    steps = [step.complete for step in given]
    return {
        "preprocessing": words,
        "steps": [{"name": step.name, "params": dict(step.params)} for step in steps],
        "pad_frames": "zeros",
        "pad_persons": "zeros",
    }


def manifest_fields(
    checkpoint: LoadedCheckpoint,
    options: ExportOptions,
    form: str,
    times: Mapping[str, float],
    ir_version: int,
) -> dict[str, Any]:
    """The manifest without name, command, files and parity."""
    spec = checkpoint.spec
    return {
        "family": spec.family,
        "motion": spec.motion,
        "sources": _sources(checkpoint),
        "fusion": spec.option("space") if checkpoint.members else None,
        "layout": _layout_fields(checkpoint),
        "inputs": [asdict(one) for one in spec.inputs],
        "clip": {
            "batch": options.batch,
            "persons": checkpoint.persons,
            "frames": checkpoint.frames,
            "joints": spec.num_joints,
            "channels": spec.in_channels,
            "dynamic": _ranges(checkpoint, options),
            "fps": checkpoint.hints.fps,
            "skips_absent": options.skip_absent,
        },
        "contract": _contract_fields(checkpoint),
        "num_classes": spec.num_classes,
        "output": "logits" if options.logits else "probabilities",
        "activation": spec.activation,
        "graph_form": form,
        "graph_form_ms": dict(times),
        "opset": options.opset,
        "ir_version": ir_version,
        "exporter": EXPORTER,
        "precision": {"requested": "fp32", "actual": "fp32"},
        "macs": count_macs(spec, frames=checkpoint.frames, persons=checkpoint.persons),
        "parameters": checkpoint.num_parameters,
        "parity": None,
        "builds": (),
        "versions": versions(),
    }
