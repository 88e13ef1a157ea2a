"""The CANN toolkit of this machine: where atc is, its version, the chips that it knows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from stgcn_deploy.measure.npu import SOC_VERSIONS

__all__ = [
    "ATC",
    "INSTALL",
    "cann_version",
    "environment_is_set",
    "known_socs",
    "missing",
    "source_line",
]

ATC = "atc"
SYSTEM = Path("/usr/local/Ascend")
INSTALL = (
    "install Ascend-cann-toolkit from https://www.hiascend.com/software/cann (no NPU is needed to "
    "build), then: source /usr/local/Ascend/ascend-toolkit/set_env.sh"
)
# What set_env.sh sets, over the years; atc finds its operators by them.
VARIABLES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH", "ASCEND_OPP_PATH")
SET_ENV = ("ascend-toolkit/set_env.sh", "cann/set_env.sh", "latest/set_env.sh")
# Chips are the names of these files, below the toolkit's folder.
CHIPS = ("compiler/data/platform_config", "data/platform_config", "*-linux/data/platform_config")
# Files that say the version, and how.
INFO = ("ascend_toolkit_install.info", "*-linux/ascend_toolkit_install.info")
VERSION = re.compile(r"(?m)^version=(\S+)$")


def _homes() -> tuple[Path, ...]:
    """Where toolkits are installed: by root, by a user."""
    return SYSTEM, Path.home() / "Ascend"


def source_line() -> str | None:
    """The line that sets the environment of a toolkit that is installed here; None where none is."""
    for home in _homes():
        for name in SET_ENV:
            if (home / name).is_file():
                return f"source {home / name}"
    return None


def environment_is_set(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a set_env.sh was sourced."""
    given = os.environ if environment is None else environment
    return any(given.get(name) for name in VARIABLES)


def missing() -> str | None:
    """None when atc can be run here, else why not, with what to do."""
    if shutil.which(ATC) is not None:
        return None
    line = source_line()
    if line is not None:
        return f"{ATC} is not on PATH, but its toolkit is installed; run: {line}"
    return f"{ATC}, the compiler of Ascend's CANN toolkit, is not here; {INSTALL}"


def _roots() -> Iterator[Path]:
    """Folders of the toolkit that is in use, the surest first."""
    for name in VARIABLES[:2]:
        if os.environ.get(name):
            yield Path(os.environ[name])
    found = shutil.which(ATC)
    if found is not None:
        # TOOLKIT/bin/atc, TOOLKIT/compiler/bin/atc, TOOLKIT/x86_64-linux/bin/atc, by version
        yield from list(Path(found).resolve().parents)[1:4]


def cann_version() -> str | None:
    """Version of the toolkit in use; None where its files do not tell."""
    for root in _roots():
        for pattern in INFO:
            for file in sorted(root.glob(pattern)):
                said = VERSION.search(file.read_text(encoding="utf-8", errors="replace"))
                if said:
                    return said[1]
    return None


def known_socs() -> tuple[str, ...]:
    """Chips that can be compiled for, as far as is known here: those of our table, and the toolkit's."""
    found = {
        file.stem
        for root in _roots()
        for pattern in CHIPS
        for file in root.glob(f"{pattern}/*.ini")
    }
    return (*SOC_VERSIONS, *sorted(found - set(SOC_VERSIONS)))
