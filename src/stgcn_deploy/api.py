"""The verbs.  The command line has the same names and the same defaults.

Nothing here imports a runtime before it is needed: `stgcn --help` and `import stgcn_deploy` stay quick
and work on a device that has only the run half.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stgcn_deploy.errors import FileUnreadableError, UsageError, requires
from stgcn_deploy.runtime import Model, Prediction, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stgcn_deploy.checkpoints.base import Hints
    from stgcn_deploy.checkpoints.load import LoadedCheckpoint
    from stgcn_deploy.exporter.build import Exported
    from stgcn_deploy.measure.bench import BenchReport
    from stgcn_deploy.measure.verify import VerifyReport
    from stgcn_deploy.skeleton.layout import Layout

__all__ = ["Model", "bench", "doctor", "export", "inspect", "layouts", "load", "predict", "verify"]

Motion = Literal["first_difference", "second_difference"]
Adjacency = Literal["importance", "offset"]
Space = Literal["logits", "probabilities"]
Progress = Callable[[str], None]
EXPORT_INSTALL = "pip install 'stgcn-deploy[export]'"


def _quiet(_: str) -> None:
    """No progress."""


def _layout(name: str | None) -> Layout | None:
    """A layout by name, or the user's own from a .toml or .json file."""
    from stgcn_deploy.skeleton.layout_file import read_layout
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    if name is None:
        return None
    if name.endswith((".toml", ".json")):
        return read_layout(Path(name))
    return LAYOUTS[name]


def _hints(
    *,
    persons: int | None = None,
    frames: int | None = None,
    layout: str | None = None,
    motion: Motion | None = None,
    strides: Sequence[int] | None = None,
    adjacency: Adjacency | None = None,
    fps: float | None = None,
    contract: str | Path | None = None,
) -> Hints:
    with requires("reading a checkpoint", EXPORT_INSTALL):
        from stgcn_deploy.checkpoints.base import Hints
    from stgcn_deploy.bundle import read_steps

    return Hints(
        frames=frames,
        persons=persons,
        strides=tuple(strides) if strides else None,
        layout=_layout(layout),
        motion=motion,
        adjacency=adjacency,
        fps=fps,
        contract=read_steps(Path(contract)) if contract is not None else None,
    )


def _checkpoint(path: str | Path, hints: Hints, config: str | Path | None) -> LoadedCheckpoint:
    from stgcn_deploy.checkpoints.load import load_checkpoint

    loaded = load_checkpoint(path, hints)
    if config is None:
        return loaded
    from stgcn_deploy.checkpoints.mmconfig import (
        contradictions,
        hints_from_config,
        read_config,
        to_hints,
    )

    # First what the file itself says: only a config that agrees with it may add to it.
    said = hints_from_config(read_config(Path(config)))
    wrong = contradictions(said, loaded.spec)
    if wrong:
        raise UsageError(
            f"{config} does not describe {loaded.path}: {'; '.join(wrong)}. Give the config it was "
            "trained with."
        )
    return load_checkpoint(path, to_hints(said, hints))


def _is_bundle(path: Path) -> bool:
    return (path / "manifest.json").is_file()


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
    if _is_bundle(place):
        from stgcn_deploy.bundle import Bundle

        bundle = Bundle(place)
        return {"kind": "bundle", "file": str(place), **bundle.manifest.model_dump(mode="json"),
                "axes": bundle.manifest.axes,                 "labels": list(bundle.labels)}  # fmt: skip
    if place.suffix == ".onnx":
        from stgcn_deploy.backends.inspect_onnx import describe_onnx

        if not place.is_file():
            raise FileUnreadableError(f"{place} does not exist.")
        return describe_onnx(place)
    hints = _hints(persons=persons, frames=frames, layout=layout)
    from stgcn_deploy.exporter.inspect import describe_checkpoint

    return describe_checkpoint(_checkpoint(place, hints, config))


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
    progress: Progress = _quiet,
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
    hints = _hints(
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
        loaded = _checkpoint(checkpoint, hints, config)
    return build_bundle(
        loaded,
        Path(output),
        options,
        labels=_read_labels(labels),
        force=force,
        verify=verify,
        command=_command_line(),
        progress=progress,
    )


def _command_line() -> str:
    """How this process was started, without the folders of the user's machine."""
    shown = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    return shlex.join([Path(word).name for word in shown[:1]] + shown[1:])


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


def verify(
    bundle: str | Path,
    *,
    backend: str = "onnxruntime",
    checkpoint: str | Path | None = None,
    data: str | Path | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    seeds: int = 8,
    progress: Progress = _quiet,
) -> VerifyReport:
    """Check that a bundle's graph is the network it says it is.

    Args:
        checkpoint: the file it was made from; its reference form judges fresh inputs. Without it the
            recorded golden cases do.
        data: one clip file more to compare on; needs `checkpoint`.
        atol, rtol: allowed |difference| of logits is atol + rtol * max(1, max|logits|); by default
            the tolerance on record for the backend and precision.
        seeds: random inputs.

    Raises:
        StgcnError: the bundle cannot be read; a failed check is in the report.
    """
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.measure.inputs import Probe
    from stgcn_deploy.measure.tolerances import Tolerance
    from stgcn_deploy.measure.verify import verify_bundle

    opened = Bundle(bundle)
    if data is not None and checkpoint is None:
        raise UsageError("--data is compared with the reference form; give its --checkpoint too.")
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, got {seeds}.")
    for name, value in (("atol", atol), ("rtol", rtol)):
        if value is not None and not 0 <= value < 1:
            raise UsageError(f"{name} must be at least 0 and below 1, got {value}.")
    tolerance = None
    if atol is not None or rtol is not None:
        tolerance = Tolerance(rtol or 0.0, 1.0, "given by the caller", atol or 0.0)
    extra: tuple[Probe, ...] = ()
    if data is not None:
        extra = (Probe(Path(data).name, _batch_of(opened.path, data)),)
    reference = _reference(opened.path, checkpoint) if checkpoint is not None else None
    return verify_bundle(
        opened,
        backend=backend,
        reference=reference,
        seeds=seeds,
        extra=extra,
        tolerance=tolerance,
        progress=progress,
    )


def _batch_of(bundle: Path, data: str | Path) -> NDArray[Any]:
    """A clip file as a batch (N, M, T, V, C), repeated to the bundle's batch size."""
    import numpy as np

    from stgcn_deploy.data.formats import read_recording

    with load(bundle) as model:
        clip = model.prepare(read_recording(data), fit="resample")
        return np.repeat(clip[None], model.manifest.clip.batch, axis=0)


def _reference(bundle: Path, checkpoint: str | Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The reference form of the checkpoint that a bundle says it was made from."""
    with requires("comparing with a checkpoint", EXPORT_INSTALL):
        from stgcn_deploy.exporter.reference import Float64Reference
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    manifest = Bundle(bundle).manifest
    if manifest.fusion:
        raise UsageError(
            f"{bundle} is an ensemble of {len(manifest.sources)} checkpoints; its golden cases were "
            "recorded from all of them together. Leave out --checkpoint."
        )
    strides = next((f["value"] for f in manifest.source.facts if f["name"] == "strides"), None)
    adjacency = next((f["value"] for f in manifest.source.facts if f["name"] == "adjacency"), None)
    hints = _hints(
        persons=manifest.clip.persons,
        frames=manifest.clip.frames,
        # Where a file stores no graph (2s-AGCN), the layout that was exported with decides it.
        layout=manifest.layout.name if manifest.layout.name in LAYOUTS else None,
        motion=manifest.motion,  # type: ignore[arg-type]
        strides=strides,
        adjacency=adjacency if adjacency in ("importance", "offset") else None,
    )
    try:
        loaded = _checkpoint(checkpoint, hints, None)
    except UsageError as error:
        # The words speak of --layout, which the caller of a verification never gave.
        raise UsageError(
            f"{checkpoint} is another network than the one in {bundle}, which was made from "
            f"{manifest.source.file} in layout {manifest.layout.name}: {error}"
        ) from None
    shape = (loaded.spec.in_channels, loaded.spec.num_joints, loaded.spec.num_classes)
    wanted = (manifest.clip.channels, manifest.clip.joints, manifest.num_classes)
    if shape != wanted or loaded.spec.axes != manifest.axes:
        raise UsageError(
            f"{checkpoint} is another network: (C, V, classes) = {shape}, the bundle has {wanted}; "
            f"it was made from {manifest.source.file}."
        )
    return Float64Reference(loaded.network, loaded.spec.inputs)


def bench(
    targets: Sequence[str | Path],
    *,
    backend: str = "onnxruntime",
    batch: Sequence[int] = (1,),
    threads: int = 2,
    duration: float = 10.0,
    rounds: int = 5,
    torch_compile: bool = True,
    persons: int | None = None,
    frames: int | None = None,
    config: str | Path | None = None,
    progress: Progress = _quiet,
) -> BenchReport:
    """Time bundles and checkpoints against each other.

    A checkpoint stands for four contenders: PyTorch eager, torch.compile, the plain export of the
    unmodified network on ONNX Runtime, and ours.

    Args:
        batch: batch sizes; a bundle takes only the ones that its graph allows.
        threads: cores that each contender is bound to.
        duration: seconds for each contender, over all rounds.
        persons, frames, config: as for export, for checkpoints.
        torch_compile: torch.compile among the contenders (it needs a C++ compiler, and minutes).

    Raises:
        StgcnError: nothing could be timed, or a target cannot be read.
    """
    from stgcn_deploy.measure.bench import run_bench
    from stgcn_deploy.measure.contenders import bundle_contenders

    if threads < 1 or not batch or min(batch) < 1:
        raise UsageError("threads and batch sizes must be at least 1.")
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        contenders = []
        for number, target in enumerate(map(Path, targets)):
            if _is_bundle(target):
                contenders += bundle_contenders(target, backend, batch, threads)
                continue
            with requires("timing a checkpoint", EXPORT_INSTALL):
                from stgcn_deploy.exporter.contenders import checkpoint_contenders
            progress(f"exporting {target}")
            loaded = _checkpoint(target, _hints(persons=persons, frames=frames), config)
            folder = Path(scratch) / str(number)
            folder.mkdir()
            contenders += checkpoint_contenders(
                loaded, folder, batch=batch, threads=threads, compiled=torch_compile
            )
        return run_bench(contenders, duration=duration, rounds=rounds, progress=progress)


def predict(
    bundle: str | Path,
    clip: str | Path | NDArray[np.floating],
    *,
    topk: int = 5,
    fit: Literal["exact", "pad", "resample"] = "exact",
    raw: bool = False,
    image_size: tuple[int, int] | None = None,
    clips: int | None = None,
    backend: str = "onnxruntime",
) -> Prediction:
    """Classify one clip (M, T, V, C), or one in a .npy, .json or .pkl file.

    Args:
        topk: classes to name.
        fit: for another number of frames than the bundle's: refuse, pad with zeros, or resample.
        raw: a pose estimator's or a data set's numbers: prepare them as the bundle's codebase does.
            Annotations (.pkl) are raw by themselves.
        image_size: (W, H) of the image that raw coordinates are pixels of.
        clips: of a raw recording, how many to sample and average; None as the codebase tests.

    Raises:
        StgcnError: the bundle or the clip cannot be used.
    """
    from stgcn_deploy.data.formats import read_recording

    with load(bundle, backend=backend) as model:
        given = read_recording(clip) if isinstance(clip, (str, Path)) else clip
        return model.predict(given, topk=topk, fit=fit, raw=raw, image_size=image_size, clips=clips)


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

    layout = _layout(name)
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
    """What is installed here, what this machine has, and which backends work or why not."""
    from stgcn_deploy.backends.registry import BACKENDS
    from stgcn_deploy.measure.environment import environment
    from stgcn_deploy.measure.installed import extras

    backends = {}
    for name, backend in BACKENDS.items():
        reason = backend.available()
        backends[name] = {
            "usable": reason is None,
            "version": backend.version(),
            "reason": reason,
            "install": backend.install,
        }
    return {**environment(), "backends": backends, "extras": extras()}
