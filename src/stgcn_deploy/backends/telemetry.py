"""Importing openvino without the event that it sends to Google Analytics by default."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_telemetry"]

SENDER = "openvino_telemetry"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Hide the package that sends while openvino is imported in the block; it does without it, for good.

    Their own switch (`opt_in_out --opt_out`) is a file in the user's home, which is the user's to write.
    """
    absent = object()
    before = sys.modules.get(SENDER, absent)
    sys.modules[SENDER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[SENDER]
        else:
            sys.modules[SENDER] = before  # type: ignore[assignment]
