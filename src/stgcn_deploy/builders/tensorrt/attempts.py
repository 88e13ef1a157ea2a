"""From the precision asked for down to one that comes out; never in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.builders.tensorrt.audit import Audit
from stgcn_deploy.builders.tensorrt.precision import Rung
from stgcn_deploy.errors import BuildError
from stgcn_deploy.manifest import AttemptRecord

__all__ = ["BUILT", "Made", "Outcome", "climb_down", "engine_name"]

BUILT = "built"


@dataclass(frozen=True)
class Made:
    """An engine that one try gave.

    Attributes:
        path: the file.
        audit: what is in it.
        device: what it runs on.
        tools: versions of what built it.
        command: argv, or the calls in words.
    """

    path: Path
    audit: Audit
    device: str
    tools: dict[str, str]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came out of all tries.

    Attributes:
        actual: the precision that the audit found.
        attempts: every try, in order.
    """

    made: Made
    actual: str
    attempts: tuple[AttemptRecord, ...]


def engine_name(precision: str) -> str:
    """The file's name, with the precision that is in it."""
    return f"model_{precision}.engine"


def climb_down(
    rungs: Sequence[Rung], make: Callable[[Rung], Made], *, allow_fallback: bool
) -> Outcome:
    """Try one precision after the other until one is what its name says.

    An explicit graph has no wider form of itself; where its engine computes in more bits than the graph
    has, a fallback is that engine, under the name of what was found.

    Raises:
        BuildError: the first try failed or came out wider, and no fallback is allowed; or all failed.
    """
    attempts: list[AttemptRecord] = []
    for place, rung in enumerate(rungs):
        try:
            made = make(rung)
            reason = made.audit.shortfall(rung)
        except BuildError as error:
            made, reason = None, str(error)
        if made is not None and reason is None:
            attempts.append(AttemptRecord(precision=rung.precision, outcome=BUILT))
            return Outcome(made, rung.precision, tuple(attempts))
        attempts.append(AttemptRecord(precision=rung.precision, outcome=reason or BUILT))
        if made is not None and rung.explicit and allow_fallback:
            return Outcome(made, made.audit.actual, tuple(attempts))
        if made is not None:
            made.path.unlink()  # its name would be a lie
        if not allow_fallback:
            raise BuildError(f"no {rung.precision} engine: {reason}{_next(rungs, place, made)}")
    tries = "; ".join(f"{one.precision}: {one.outcome}" for one in attempts)
    raise BuildError(f"no engine of any precision. {tries}")


def _next(rungs: Sequence[Rung], place: int, made: Made | None) -> str:
    """What --allow-fallback would do."""
    if place + 1 < len(rungs):
        wider = " and then ".join(one.precision for one in rungs[place + 1 :])
        return f" To go on with {wider}, give --allow-fallback."
    if made is not None:
        return f" To take it as {made.audit.actual}, give --allow-fallback."
    return ""
