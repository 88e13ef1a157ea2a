"""What an Ascend build is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stgcn_deploy.builders.ascend_toolkit import known_socs
from stgcn_deploy.errors import UnknownNameError, UsageError
from stgcn_deploy.measure.npu import nearest_soc, read_npus
from stgcn_deploy.registry import nearest

__all__ = ["MODES", "AscendOptions", "check_soc"]

# Precision -> atc's --precision_mode.  Every CANN takes these; --precision_mode_v2 came with 6.3, means
# the same, and excludes this one.
MODES = {
    "fp16": "force_fp16",
    "mixed": "allow_mix_precision",
    "origin": "must_keep_origin_dtype",
}


@dataclass(frozen=True)
class AscendOptions:
    """How to build OM files.

    Attributes:
        soc_version: the chip, as atc calls it: Ascend310P3; `stgcn doctor` names it on the NPU host.
        batch: clips in one call, one OM for each number; none: 1, or what the graph is fixed to.
        precision: fp16 (what has both is computed in FP16), mixed (atc lowers what costs little
            accuracy), origin (as the graph has it; refused where the chip has no such layer).
        allow_fallback: take the next lower precision where the chip has no layer for the one asked for.
        timeout: seconds for one run of atc.

    Raises:
        UsageError: values that cannot be meant.
    """

    soc_version: str = ""
    batch: int | Sequence[int] = ()
    precision: str = "fp16"
    allow_fallback: bool = False
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        batch = self.batches
        if any(size < 1 for size in batch):
            raise UsageError(f"batch sizes must be at least 1, got {', '.join(map(str, batch))}.")
        if len(set(batch)) < len(batch):
            raise UsageError(f"a batch size is given twice: {', '.join(map(str, batch))}.")
        if self.precision not in MODES:
            raise UnknownNameError(
                f"unknown precision {self.precision!r} for ascend{nearest(self.precision, MODES)} "
                f"Known: {', '.join(MODES)}. (Eight bits come from Ascend's own tool, AMCT.)"
            )
        if not self.timeout > 0:
            raise UsageError(f"timeout must be above 0 seconds, got {self.timeout:g}.")
        check_soc(self.soc_version)

    @property
    def batches(self) -> tuple[int, ...]:
        """The sizes, however they were given."""
        return (self.batch,) if isinstance(self.batch, int) else tuple(self.batch)

    @property
    def ladder(self) -> tuple[str, ...]:
        """Precisions to try, in order."""
        if not self.allow_fallback:
            return (self.precision,)
        order = ("origin", "mixed", "fp16")
        return order[order.index(self.precision) :]


def check_soc(name: str) -> None:
    """That atc would know this chip.

    Raises:
        UsageError: none is given.
        UnknownNameError: no such chip; the nearest one is named.
    """
    if not name:
        here = read_npus().soc_versions
        told = f"this machine has {', '.join(here)}" if here else "`stgcn doctor` names it there"
        raise UsageError(
            "an OM file is for one chip; name that of the NPU host with --soc-version, such as "
            f"Ascend310P3 ({told})."
        )
    known = known_socs()
    if name in known:
        return
    close = nearest_soc(name, known)
    meant = f"; did you mean {close!r}?" if close else f". Known: {', '.join(known)}."
    raise UnknownNameError(
        f'unknown SoC version {name!r}{meant} It is "Ascend" and the Name column of `npu-smi info`: 310P3 '
        "is Ascend310P3. Chips newer than our table are known where their toolkit is installed."
    )
