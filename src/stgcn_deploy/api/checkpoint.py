"""inspect and export: from a checkpoint to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgcn_deploy.api.common import (
    Adjacency,
    Motion,
    Progress,
    Space,
    command_line,
    is_bundle,
    make_hints,
    open_checkpoint,
    quiet,
)
from stgcn_deploy.errors import FileUnreadableError, UsageError

if TYPE_CHECKING:
    from stgcn_deploy.exporter.build import Exported

__all__ = ["export", "inspect"]


def inspect(
    path: str | Path,
    *,
    config: str | Path | None = None,
    persons: int | None = None,
    frames: int | None = None,
    layout: str | None = None,
) -> dict[str, Any]:
    """What a checkpoint, an ONNX file or a bundle is.

    Args:
        path: a checkpoint file or a folder of them, a .onnx file, or a bundle.
        config: the MMAction2 / PYSKL config it was trained with; parsed, never run.
        persons, frames: M and T, where you know better than the codebase's usual ones.
        layout: name or file of the layout it was trained with.

    Raises:
        StgcnError: any of its kinds; see stgcn_deploy.errors.
    """
    place = Path(path)
    if is_bundle(place):
        from stgcn_deploy.bundle import Bundle

        bundle = Bundle(place)
        return {"kind": "bundle", "file": str(place), **bundle.manifest.model_dump(mode="json"),
                "axes": bundle.manifest.axes,                 "labels": list(bundle.labels)}  # fmt: skip
    if place.suffix == ".onnx":
        from stgcn_deploy.backends.inspect_onnx import describe_onnx

        if not place.is_file():
            raise FileUnreadableError(f"{place} does not exist.")
        return describe_onnx(place)
    hints = make_hints(persons=persons, frames=frames, layout=layout)
    from stgcn_deploy.exporter.inspect import describe_checkpoint

    return describe_checkpoint(open_checkpoint(place, hints, config))


def export(
    checkpoint: str | Path | None = None,
    output: str | Path = "bundle",
    *,
    stream: Sequence[str] = (),
    fusion: Space | None = None,
    preset: str = "custom",
    persons: int | None = None,
    frames: int | None = None,
    batch: int | None = None,
    dynamic: str | None = None,
    graph_form: str = "auto",
    opset: int = 18,
    logits: bool = False,
    external_data: bool = False,
    skip_absent: bool = False,
    labels: str | Path | Sequence[str] | None = None,
    layout: str | None = None,
    fps: float | None = None,
    contract: str | Path | None = None,
    config: str | Path | None = None,
    motion: Motion | None = None,
    strides: Sequence[int] | None = None,
    adjacency: Adjacency | None = None,
    verify: bool = True,
    force: bool = False,
    progress: Progress = quiet,
) -> Exported:
    """Turn a checkpoint into a verified bundle.

    Args:
        checkpoint: a file, or a folder of which the best or newest file is taken; None with `stream`.
        stream: beside a checkpoint, what it was trained on (joint, bone, joint_motion, bone_motion);
            without one, an ensemble "joint=J.pt", "bone=B.pt:1.0", ...: one graph that derives the
            streams from the joints and adds the scores.
        fusion: where an ensemble adds scores: logits or probabilities; by default as the codebase.
        output: the bundle's directory; must not exist unless `force`.
        preset: realtime (frames 50..200, batch 1), batch (fixed, batch 8), development (nothing
            folded) or custom; options given besides win.
        persons, frames, batch: M, T and N of the graph.
        dynamic: axes left open, out of "batch,frames,persons"; "" for none.
        graph_form: auto (measured here), aggregate, einsum, matmul, or reference (unmodified).
        opset: 11 to 20; below 12 there is no Einsum.
        logits: raw scores instead of probabilities.
        external_data: weights in model.onnx.data beside the graph.
        skip_absent: run only the person slots that hold somebody; same output, less time.
        labels: class names, or a file with one a line.
        layout: name or file of the layout it was trained with, where it is not recognised.
        fps: frames per second of the training clips.
        contract: the steps from a recording to a clip where they are not the codebase's own: a .json
            file, or a bundle that has them.
        config: the MMAction2 / PYSKL config it was trained with; parsed, never run.
        motion: how the motion stream of a two-stream network is made.
        strides: of each block, where the rule (2 where channels change) is wrong.
        adjacency: what a PYSKL `PA` does to A, where its values do not tell.
        verify: compare with the reference form; a bundle that fails is not written.
        force: replace an existing bundle.

    Raises:
        StgcnError: any of its kinds; see stgcn_deploy.errors.
    """
    hints = make_hints(
        persons=persons,
        frames=frames,
        layout=layout,
        motion=motion,
        strides=strides,
        adjacency=adjacency,
        fps=fps,
        contract=contract,
    )
    from stgcn_deploy.exporter.build import build_bundle
    from stgcn_deploy.exporter.presets import apply_preset

    options = apply_preset(
        preset,
        batch=batch,
        dynamic=dynamic,
        graph_form=graph_form,
        opset=opset,
        logits=logits,
        external_data=external_data,
        skip_absent=skip_absent,
    )
    if stream and checkpoint is not None and "=" not in "".join(stream):
        # One word beside a CHECKPOINT: what its network was trained on.
        from stgcn_deploy.checkpoints.ensemble import stream_name

        if len(stream) != 1:
            raise UsageError("one CHECKPOINT is trained on one stream; give --stream once.")
        hints = replace(hints, stream=stream_name(stream[0]))
        stream = ()
    if stream:
        if checkpoint is not None or config is not None:
            raise UsageError("--stream names the files itself; leave out CHECKPOINT and --config.")
        from stgcn_deploy.checkpoints.ensemble import load_ensemble, parse_stream

        loaded = load_ensemble([parse_stream(text) for text in stream], hints, fusion)
    elif checkpoint is None:
        raise UsageError("nothing to export; name a CHECKPOINT, or files with --stream.")
    else:
        loaded = open_checkpoint(checkpoint, hints, config)
    return build_bundle(
        loaded,
        Path(output),
        options,
        labels=_read_labels(labels),
        force=force,
        verify=verify,
        command=command_line(),
        progress=progress,
    )


def _read_labels(labels: str | Path | Sequence[str] | None) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if not isinstance(labels, (str, Path)):
        return tuple(labels)
    try:
        lines = Path(labels).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileUnreadableError(f"cannot read the labels in {labels}: {error}") from None
    return tuple(line.strip() for line in lines if line.strip())
