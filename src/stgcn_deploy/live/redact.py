"""Addresses without what is secret in them, for messages, logs, metrics and pages."""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "redacted"]

HIDDEN = "***"
# Up to the last @: a password may hold all that an address may.
_LOGIN = re.compile(r"(?s)([A-Za-z][A-Za-z0-9+.-]*://).*@")
# Some cameras take the login in the path: /user=admin&password=...
_VALUE = re.compile(r"(?s)([?&;#/][^=&;#/\s]*=)[^&;#\s]+")


def redacted(text: str) -> str:
    """An address with login and values of parameters hidden; texts without one as they are."""
    if "://" not in text:
        return text
    return _VALUE.sub(rf"\g<1>{HIDDEN}", _LOGIN.sub(rf"\g<1>{HIDDEN}@", text))
