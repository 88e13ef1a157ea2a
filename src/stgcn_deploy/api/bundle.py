"""verify, bench and predict: what is done with a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stgcn_deploy.api.common import (
    EXPORT_INSTALL,
    Progress,
    is_bundle,
    make_hints,
    open_checkpoint,
    quiet,
)
from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.runtime import Prediction, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stgcn_deploy.measure.bench import BenchReport
    from stgcn_deploy.measure.verify import VerifyReport

__all__ = ["bench", "predict", "verify"]


def verify(
    bundle: str | Path,
    *,
    backend: str = "onnxruntime",
    checkpoint: str | Path | None = None,
    data: str | Path | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    seeds: int = 8,
    progress: Progress = quiet,
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
    hints = make_hints(
        persons=manifest.clip.persons,
        frames=manifest.clip.frames,
        # Where a file stores no graph (2s-AGCN), the layout that was exported with decides it.
        layout=manifest.layout.name if manifest.layout.name in LAYOUTS else None,
        motion=manifest.motion,  # type: ignore[arg-type]
        strides=strides,
        adjacency=adjacency if adjacency in ("importance", "offset") else None,
    )
    try:
        loaded = open_checkpoint(checkpoint, hints, None)
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
    present: int | None = None,
    progress: Progress = quiet,
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
        present: of bundles, how many person slots of the random clips are occupied; by default all.

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
            if is_bundle(target):
                contenders += bundle_contenders(target, backend, batch, threads, present)
                continue
            if present is not None:
                raise UsageError(
                    f"{target} is no bundle, and only bundles can skip absent persons: export it with "
                    "--skip-absent, or leave out --present."
                )
            with requires("timing a checkpoint", EXPORT_INSTALL):
                from stgcn_deploy.exporter.contenders import checkpoint_contenders
            progress(f"exporting {target}")
            loaded = open_checkpoint(target, make_hints(persons=persons, frames=frames), config)
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
    record: int | None = None,
    topk: int = 5,
    fit: Literal["exact", "pad", "resample"] = "exact",
    raw: bool = False,
    axes: str | None = None,
    image_size: tuple[int, int] | None = None,
    clips: int | None = None,
    backend: str = "onnxruntime",
) -> Prediction:
    """Classify one clip (M, T, V, C), or one recording in a file or folder; see `stgcn data info`.

    Args:
        record: which one, of a file that holds several.
        topk: classes to name.
        fit: for another number of frames than the bundle's: refuse, pad with zeros, or resample.
        raw: a pose estimator's or a data set's numbers: prepare them as the bundle's codebase does.
            Files that are raw by their format (PYSKL's, OpenPose's, ...) say so themselves.
        axes: order of the axes of a bare array in a file, such as CTVM.
        image_size: (W, H) of the image that raw coordinates are pixels of.
        clips: of a raw recording, how many to sample and average; None as the codebase tests.

    Raises:
        StgcnError: the bundle or the clip cannot be used.
    """
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.data.formats import read_recording
    from stgcn_deploy.data.recording import Recording

    with load(bundle, backend=backend) as model:
        given: NDArray[np.floating] | Recording
        if isinstance(clip, (str, Path)):
            given = read_recording(clip, record, ReadOptions(axes=axes))
        else:
            given = clip
        return model.predict(given, topk=topk, fit=fit, raw=raw, image_size=image_size, clips=clips)
