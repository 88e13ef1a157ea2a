"""What the system's and FFmpeg's errors mean for a source, without anybody's password."""

from __future__ import annotations

import errno

from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.sources.base import Reason, SourceError

__all__ = ["failure"]

# PyAV's errors are told apart by name, so that this needs no PyAV; its kinds of the system's errors are
# those of Python too.
_BY_NAME: dict[str, Reason] = {
    "HTTPUnauthorizedError": "not allowed",
    "HTTPForbiddenError": "not allowed",
    "HTTPNotFoundError": "not found",
    "ExitError": "timeout",
    "InvalidDataError": "unreadable",
    "DemuxerNotFoundError": "unreadable",
    "DecoderNotFoundError": "unreadable",
    "ProtocolNotFoundError": "unreadable",
}
_BY_KIND: tuple[tuple[type[Exception], Reason], ...] = (
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
    (PermissionError, "not allowed"),
    (FileNotFoundError, "not found"),
    (EOFError, "ended"),
)
_BY_NUMBER: dict[int, Reason] = {
    errno.EHOSTUNREACH: "refused",
    errno.ENETUNREACH: "refused",
    errno.ENODEV: "not found",
    errno.ENXIO: "not found",
}
# Somebody has to put it right: the address, the password, the installed FFmpeg.
_LASTING = frozenset({"not allowed", "not found"})
_LASTING_NAMES = frozenset({"ProtocolNotFoundError", "DecoderNotFoundError"})
_HELP: dict[Reason, str] = {
    "refused": "nobody answers there; is it on, and is the port right?",
    "timeout": "no answer in time; is it on, and is the network fast enough?",
    "not found": "there is no such thing at that place; check the path of the address.",
    "not allowed": "access was denied; check user, password and rights.",
    "ended": "it ended before there was a picture.",
    "broken": "the connection or the device broke.",
    "unreadable": "that is no video or picture that can be decoded here.",
    "frozen": "it stopped sending.",
}


def failure(name: str, error: Exception, *, timed_out: bool = False) -> SourceError:
    """The SourceError that says what `error` means.

    Args:
        name: of the source, without secrets.
        timed_out: it took as long as the limit of time: FFmpeg calls that invalid data now and then.
    """
    if isinstance(error, SourceError):
        return error
    kind = type(error).__name__
    reason = _BY_NAME.get(kind) or _of_system(error)
    if timed_out and reason in ("unreadable", "broken", "ended"):
        reason = "timeout"
    detail = redact(str(getattr(error, "strerror", None) or error)) or kind
    lasting = reason in _LASTING or kind in _LASTING_NAMES
    return SourceError(f"{name}: {detail}; {_HELP[reason]}", reason, lasting=lasting)


def _of_system(error: Exception) -> Reason:
    for kind, reason in _BY_KIND:
        if isinstance(error, kind):
            return reason
    number = getattr(error, "errno", None)
    return _BY_NUMBER.get(number, "broken") if isinstance(number, int) else "broken"
