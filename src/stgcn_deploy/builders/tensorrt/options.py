"""What `stgcn build --to tensorrt` takes besides the bundle."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from stgcn_deploy.errors import UsageError
from stgcn_deploy.precision.calibration import MIN_SAMPLES
from stgcn_deploy.registry import nearest

__all__ = ["MIB", "CalibMethod", "Precision", "TensorRtOptions", "Tool"]

Precision = Literal["auto", "fp32", "fp16", "int8"]
CalibMethod = Literal["entropy", "minmax"]
Tool = Literal["python", "trtexec"]

MIB = 1 << 20
UNITS = {"MiB": MIB, "GiB": 1 << 30, "MB": 10**6, "GB": 10**9}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
# Less than any layer of the family's networks asks for.
MIN_WORKSPACE = 16 * MIB
MAX_OPT_LEVEL = 5


@dataclass(frozen=True)
class TensorRtOptions:
    """How to build an engine.

    Attributes:
        precision: "auto" is that of the bundle's graph; a lower one is left to TensorRT's own flags, which
            versions 8 to 10 have.
        workspace: most device memory that a layer may use while it runs, as "4GiB" or "512MiB".
        max_batch: largest batch of a bundle whose batch is open.
        profile: smallest, usual and largest size of open axes, as "batch=1:4:8,frames=50:150:200"; with
            one open axis its name may be left out.
        calib, calib_split: recordings that INT8 ranges are taken from, and the split of them.
        calib_samples: how many of them.
        calib_cache: file of ranges, read where it is there, else written; its side-car FILE.json says
            what it was made of.
        calib_method: how a range follows from the values.
        timing_cache: file of kernel timings, read where it is there, and written.
        opt_level: 0 (quick build) to 5 (quick engine); None is TensorRT's own choice.
        hardware_compatible: an engine for every GPU from Ampere on.
        version_compatible: an engine that later versions of TensorRT run too.
        refit: an engine whose weights can be replaced.
        refit_from: a bundle with such an engine of the same architecture: it gets this bundle's weights,
            and nothing is built.
        builder: TensorRT's Python bindings, or its command line tool.
        allow_fallback: go on with the next wider precision where the one asked for does not come out.

    Raises:
        UsageError: a value is out of range, or two contradict each other; from __post_init__.
    """

    precision: Precision = "auto"
    workspace: str = "4GiB"
    max_batch: int | None = None
    profile: str | None = None
    calib: Path | None = None
    calib_split: str | None = None
    calib_samples: int = 300
    calib_cache: Path | None = None
    calib_method: CalibMethod = "entropy"
    timing_cache: Path | None = None
    opt_level: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    refit: bool = False
    refit_from: Path | None = None
    builder: Tool = "python"
    allow_fallback: bool = False

    def __post_init__(self) -> None:
        for field, kind in (
            ("precision", Precision), ("calib_method", CalibMethod), ("builder", Tool)
        ):  # fmt: skip
            value, known = getattr(self, field), get_args(kind)
            if value not in known:
                raise UsageError(
                    f"{_option(field)} {value!r} is not known{nearest(str(value), known)} Known: "
                    f"{', '.join(known)}."
                )
        if self.workspace_bytes < MIN_WORKSPACE:
            raise UsageError(
                f"--workspace {self.workspace} is too small for any layer; give at least 16MiB."
            )
        if self.max_batch is not None and self.max_batch < 1:
            raise UsageError(f"--max-batch must be at least 1, got {self.max_batch}.")
        if self.opt_level is not None and not 0 <= self.opt_level <= MAX_OPT_LEVEL:
            raise UsageError(f"--opt-level goes from 0 to {MAX_OPT_LEVEL}, got {self.opt_level}.")
        if self.calib_samples < MIN_SAMPLES:
            raise UsageError(
                f"--calib-samples must be at least {MIN_SAMPLES}, got {self.calib_samples}."
            )
        if self.calib_split is not None and self.calib is None:
            raise UsageError("--calib-split is a split of --calib, which is not given.")
        if self.refit_from is not None:
            self._check_refit()
        if self.refit and self.version_compatible:
            raise UsageError(
                "a version-compatible engine runs in TensorRT's lean runtime, which does not refit; give "
                "one of --refit and --version-compatible."
            )

    def _check_refit(self) -> None:
        """Nothing is built, so nothing can be asked of the build."""
        given = [
            field.name
            for field in fields(self)
            if field.name not in ("refit_from", "allow_fallback")
            and getattr(self, field.name) != field.default
        ]
        if given:
            raise UsageError(
                f"--refit-from takes the engine as it was built; leave out "
                f"{', '.join(map(_option, given))}, or build anew."
            )

    @property
    def workspace_bytes(self) -> int:
        """Bytes of `workspace`.

        Raises:
            UsageError: it is no size.
        """
        found = SIZE.fullmatch(self.workspace)
        units = {name.lower(): factor for name, factor in UNITS.items()}
        if not found or found[2].lower() not in units:
            raise UsageError(
                f"--workspace {self.workspace!r} is no size; write it as 4GiB or 512MiB."
            )
        size = float(found[1]) * units[found[2].lower()]
        if not math.isfinite(size):
            raise UsageError(f"--workspace {self.workspace!r} is beyond any device.")
        return int(size)


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
