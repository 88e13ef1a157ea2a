"""Addresses without their secrets, for messages, logs and metrics."""

from __future__ import annotations

import re

__all__ = ["redact"]

HIDDEN = "***"
# user:password@, up to the last @ before the path.
_USER = re.compile(r"(\w[\w+.-]*://)[^\s/?#'\"<>]*@")
# A password that was not encoded may hold / ? or #; what follows a first ":" as a number is a port.
_ODD_USER = re.compile(r"(\w[\w+.-]*://)[^\s/?#@:'\"<>]*:(?!\d+(?:[/?#\s'\"]|$))[^\s'\"<>]*@")
_VALUE = re.compile(
    r"([?&;][\w.-]*(?:token|key|pass|pwd|secret|sig|auth|credential|session|jwt)[\w.-]*=)"
    r"[^&;\s'\"<>#]*",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|digest)?\s*)[^\r\n]+", re.I
)


def redact(text: str) -> str:
    """The text with users, passwords and secret values of the addresses in it replaced by ***.

    Hides too much rather than too little: an odd path may lose a part that was no secret.
    """
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    text = _ODD_USER.sub(rf"\1{HIDDEN}@", text)
    text = _VALUE.sub(rf"\1{HIDDEN}", text)
    return _HEADER.sub(rf"\1{HIDDEN}", text)
