"""Bundles as candidates of an evaluation, and where a bundle is at home."""

from __future__ import annotations

from pathlib import Path

from stgcn_deploy.backends.built import model_file
from stgcn_deploy.backends.registry import BACKENDS
from stgcn_deploy.bundle import Bundle, sha256_of
from stgcn_deploy.errors import StgcnError
from stgcn_deploy.manifest import MANIFEST, Manifest
from stgcn_deploy.measure.evaluation import Candidate
from stgcn_deploy.runtime import load

__all__ = ["USUAL", "bundle_candidate", "form_text", "home_backend", "precision_on"]

USUAL = "onnxruntime"


def home_backend(manifest: Manifest) -> str:
    """The backend that a bundle was made for; the usual one for a bundle of any."""
    return manifest.precision.target or USUAL


def precision_on(bundle: Bundle, backend: str) -> str:
    """The precision of the file that a backend opens; the graph's where there is none for it."""
    try:
        return model_file(bundle, BACKENDS[backend]).precision
    except StgcnError:
        return bundle.manifest.precision.actual


def form_text(bundle: Bundle, backend: str) -> str:
    """Backend, graph form and precision, as tables show them."""
    return f"{backend}, {bundle.manifest.graph_form}, {precision_on(bundle, backend)}"


def bundle_candidate(path: Path, backend: str) -> Candidate:
    """A bundle opened on a backend; its model is to be closed by the caller.

    Raises:
        BundleError, UnknownNameError, MissingDependencyError: see runtime.load.
    """
    model = load(path, backend=backend)
    return Candidate(
        name=str(path),
        form=form_text(Bundle(path), backend),
        # The manifest holds the hashes of all other files.
        identity=f"{sha256_of(path / MANIFEST)} {backend} {BACKENDS[backend].version()}",
        model=model,
        classes=model.labels,
    )
