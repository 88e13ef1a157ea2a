"""Which optional libraries are here, and the line that installs what is not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["extras"]

# Extra -> the libraries that it brings.
EXTRAS = {
    "export": ("torch", "onnxscript"),
    "openvino": ("openvino",),
    "plots": ("matplotlib",),
    "tensorrt10": ("tensorrt-cu12",),
    "tensorrt11": ("tensorrt-cu13",),
    "cuda": ("cuda-bindings",),
}


def extras() -> dict[str, dict[str, str | None]]:
    """For each extra: its libraries with their versions, and how to install it when one is absent."""
    report: dict[str, dict[str, str | None]] = {}
    for extra, libraries in EXTRAS.items():
        found: dict[str, str | None] = {library: _version(library) for library in libraries}
        missing = any(number is None for number in found.values())
        found["install"] = f"pip install 'stgcn-deploy[{extra}]'" if missing else None
        report[extra] = found
    return report


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
