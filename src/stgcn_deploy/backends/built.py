"""Which file of a bundle a backend opens: its graph, or what a vendor's tool built of it; and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.backends.base import Backend, OpenOptions, Session
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, BundleError
from stgcn_deploy.manifest import BuildRecord, Compute, Manifest

__all__ = [
    "ModelFile",
    "batches_of",
    "built_for",
    "model_file",
    "model_files",
    "refuse_changes",
    "sizes_of",
]


AS_THE_GRAPH = "origin"


@dataclass(frozen=True)
class ModelFile:
    """One file of a bundle, and what is known of it.

    Attributes:
        precision: what it computes in, which decides how far its results may be off: a built file's
            own, not that of the graph it was built of.
        compute: what to tell the runtime; None for a built file, which cannot be told otherwise.
        build: the record of a built file; None for the graph.
    """

    path: Path
    precision: str
    compute: Compute | None
    build: BuildRecord | None

    def open(
        self, backend: Backend, *, threads: int | None = None, tap: str | None = None
    ) -> Session:
        """Open it; an inner tensor is tapped only where the backend can."""
        tap = tap if backend.taps else None
        return backend.open(self.path, OpenOptions(threads=threads, tap=tap, compute=self.compute))


def sizes_of(manifest: Manifest, build: BuildRecord) -> tuple[int, ...]:
    """The numbers of clips in one call that a built file is known to take, smallest first.

    Raises:
        BundleError: the record does not say.
    """
    first = manifest.input_specs[0]
    place = first.axes.index("N")
    sizes = {shape[place] for shape in build.shapes.get(first.name, ()) if len(shape) > place}
    if not sizes:
        raise BundleError(
            f"the manifest does not say which shapes {build.file} takes for {first.name!r}; build it again."
        )
    return tuple(sorted(sizes))


def batches_of(manifest: Manifest, build: BuildRecord) -> tuple[int, int]:
    """The smallest and the largest of sizes_of."""
    sizes = sizes_of(manifest, build)
    return sizes[0], sizes[-1]


def built_for(bundle: Bundle, target: str, batch: int, options: str) -> Path:
    """The file that was built for a backend and a number of clips; the latest, where there are several.

    A file of exactly that number comes before one that takes a range of them.

    Args:
        options: what `stgcn build` takes for such a file besides the target, for the error.

    Raises:
        BundleError: there is none; the command that makes it is named.
    """
    manifest = bundle.manifest
    known = [(batches_of(manifest, one), one) for one in manifest.builds if one.target == target]
    command = " ".join(f"stgcn build {bundle.path} --to {target} {options} -o DIR".split())
    if not known:
        raise BundleError(
            f"{bundle.path} holds no file that was built for {target}; make one with: {command}"
        )
    fitting = [one for ends, one in known if ends == (batch, batch)]
    fitting = fitting or [one for (low, high), one in known if low <= batch <= high]
    if not fitting:
        there = ", ".join(
            str(low) if low == high else f"{low} to {high}" for (low, high), _ in known
        )
        raise BundleError(
            f"{bundle.path} holds no file for {target} with batch {batch}; there are batches {there}. "
            f"Make it with: {command}"
        )
    return bundle.path / fitting[-1].file


def model_file(bundle: Bundle, backend: Backend, batch: int | None = None) -> ModelFile:
    """The file of a bundle that a backend opens for `batch` clips in one call.

    Args:
        batch: None where it does not matter: the size of the graph, or of the smallest built file.

    Raises:
        BundleError: see Backend.model_of.
    """
    manifest = bundle.manifest
    if batch is None:
        built = [
            batches_of(manifest, one)[0] for one in manifest.builds if one.target == backend.name
        ]
        batch = min(built, default=manifest.clip.batch)
    return _described(bundle, backend.model_of(bundle, batch))


def model_files(bundle: Bundle, backend: Backend) -> tuple[ModelFile, ...]:
    """All files of a bundle that a backend opens: those built for it, or else its graph.

    Raises:
        BundleError: see Backend.model_of.
    """
    files = dict.fromkeys(one.file for one in bundle.manifest.builds if one.target == backend.name)
    if files:
        return tuple(_described(bundle, bundle.path / name) for name in files)
    return (model_file(bundle, backend),)


def _described(bundle: Bundle, path: Path) -> ModelFile:
    precision = bundle.manifest.precision
    build = next((one for one in bundle.manifest.builds if one.file == path.name), None)
    if build is not None:
        # Some tools keep the types of the graph, and say so in place of a precision.
        actual = precision.actual if build.actual == AS_THE_GRAPH else build.actual
        return ModelFile(path, actual, None, build)
    return ModelFile(path, precision.actual, precision.compute, None)


def refuse_changes(model: Path, options: OpenOptions, backend: str) -> None:
    """For backends of built files: what is built computes as it was built, and shows its outputs alone.

    Raises:
        BackendError: another precision was asked for, or an inner tensor.
    """
    if options.tap is not None:
        raise BackendError(
            f"{model} is built for {backend}, and its inner tensor {options.tap!r} cannot be shown any "
            "more; take its outputs, or open the bundle's graph on another backend."
        )
    if options.compute is not None:
        raise BackendError(
            f"{model} is built for {backend} and computes as it was built; it cannot be told to compute "
            f"in {options.compute}. Leave it open (compute=None), or build it again in that precision."
        )
