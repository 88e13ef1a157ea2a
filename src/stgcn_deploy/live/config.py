"""The settings of a live run out of a YAML file, or out of options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stgcn_deploy.errors import FileUnreadableError, UsageError, requires
from stgcn_deploy.live.settings import LiveSettings

__all__ = ["describe", "from_options", "read_config"]

_NAMED = re.compile(r"([^/#+=\s\x00-\x1f]{1,64})=(.+)", re.DOTALL)


def read_config(path: Path, *, environ: Mapping[str, str]) -> LiveSettings:
    """Settings of a YAML file."""
    del environ
    with requires("reading a configuration", 'pip install "stgcn-deploy[live]"'):
        import yaml
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileUnreadableError(f"{path}: {error.strerror}.") from None
    except yaml.YAMLError:
        raise UsageError(f"{path} is no YAML.") from None
    return _checked(value)


def from_options(bundle: str, sources: Sequence[str], **overrides: Any) -> LiveSettings:
    """Settings of a run without a file; a source is SOURCE or NAME=SOURCE."""
    cameras = []
    for number, text in enumerate(sources, 1):
        named = _NAMED.fullmatch(text)
        name, source = named.groups() if named else (f"cam{number}", text)
        cameras.append({"name": name, "source": source})
    return _checked({"bundle": bundle, "cameras": cameras, **overrides})


def describe(settings: LiveSettings) -> list[tuple[str, str]]:
    """What is set, for a table."""
    return [("bundle", settings.bundle), *((one.name, "camera") for one in settings.cameras)]


def _checked(value: Any) -> LiveSettings:
    try:
        return LiveSettings.model_validate(value)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise UsageError(f"{place}: {wrong['msg']}.") from None
