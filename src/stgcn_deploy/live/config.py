"""The settings of a live run: out of a YAML file, or out of options; and what they say, as a table.

docs/live-config.md has all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stgcn_deploy.live.complaints import complaint
from stgcn_deploy.live.redact import HIDDEN, redact
from stgcn_deploy.live.settings import JsonlSettings, LiveSettings, WebhookSettings
from stgcn_deploy.live.yamlfile import Document, read_document

__all__ = ["changed", "describe", "from_options", "read_config"]

# A path or an address before the first = is none: "./a=b.mp4" is a file, "a=b.mp4" the camera a.
_NAMED = re.compile(r"(?s)([^/\\#+=:\s\x00-\x1f]{1,64})=(.+)")


def read_config(path: Path, *, environ: Mapping[str, str]) -> LiveSettings:
    """Settings of a YAML file; its relative paths begin at its folder.

    Args:
        environ: what ${NAME} and ${NAME:-default} in strings stand for.

    Raises:
        FileUnreadableError: it is missing, too large, or no text.
        UsageError: it is no YAML, a variable is missing, or a setting is wrong: place, line, what was
            found and what was expected are named, but never a secret.
        MissingDependencyError: PyYAML is not installed.
    """
    document = read_document(path, environ=environ)
    return _rebased(_checked(document.value, str(path), document), path.parent)


def from_options(
    bundle: str,
    sources: Sequence[str],
    *,
    camera: Mapping[str, Any] | None = None,
    save: str | None = None,
    **overrides: Any,
) -> LiveSettings:
    """Settings of a run without a file.

    Args:
        sources: SOURCE, which is called cam1, cam2, ... by its position, or NAME=SOURCE.
        camera: settings that all cameras share.
        save: folder for an annotated video NAME.mp4 of each camera.
        overrides: fields of LiveSettings, their own fields as mappings; None stands for the default.

    Raises:
        UsageError: a setting is wrong.
    """
    cameras = []
    for number, text in enumerate(sources, 1):
        named = _NAMED.fullmatch(text)
        name, source = named.groups() if named else (f"cam{number}", text)
        video = None if save is None else str(Path(save, f"{name}.mp4"))
        cameras.append({"save": video, **_given(camera or {}), "name": name, "source": source})
    return _checked({"bundle": bundle, "cameras": cameras, **_given(overrides)})


def changed(settings: LiveSettings, **overrides: Any) -> LiveSettings:
    """The same settings but for what is given: options beside a file.

    Raises:
        UsageError: see from_options.
    """
    return _checked(_merged(settings.model_dump(), _given(overrides)))


def describe(settings: LiveSettings) -> list[tuple[str, str]]:
    """What is set, one row for each part, camera and sink; secrets are hidden."""
    rows = []
    for name in LiveSettings.model_fields:
        value = getattr(settings, name)
        if name == "cameras":
            rows += [(f"camera {one.name}", _summary(one)) for one in value]
        elif name == "sinks":
            rows += [(f"sink {index}", _summary(one)) for index, one in enumerate(value, 1)]
        elif isinstance(value, BaseModel):
            rows.append((name, _summary(value)))
        elif value is not None:
            rows.append((name, _text(value)))
    return rows


def _summary(part: BaseModel) -> str:
    found = []
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if name == "kind":
            found.append(value)
        elif value is not None and value != () and name != "name":
            found.append(f"{name} {_text(value) if field.repr else HIDDEN}")
    return ", ".join(found)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else redact(str(value))


def _checked(value: Any, where: str = "", document: Document | None = None) -> LiveSettings:
    try:
        return LiveSettings.model_validate(value)
    except ValidationError as error:
        lines, filled = (document.lines, document.filled) if document else ({}, frozenset())
        raise complaint(error, value, where=where, lines=lines, filled=filled) from None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None; settings as mappings."""
    found = {}
    for name, value in options.items():
        plain = value.model_dump() if isinstance(value, BaseModel) else value
        if plain is not None:
            found[name] = _given(plain) if isinstance(plain, Mapping) else plain
    return found


def _merged(usual: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(usual)
    for name, value in given.items():
        old = out.get(name)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        out[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return out


# ---- paths -----------------------------------------------------------------------------------


def _rebased(settings: LiveSettings, folder: Path) -> LiveSettings:
    """Relative paths of a file begin at its folder, wherever the program was started."""

    def file(text: str | None) -> str | None:
        return None if text is None else str(folder / Path(text).expanduser())

    cameras = [
        one.model_copy(
            update={
                "source": file(one.source) if _is_path(one.source) else one.source,
                "save": file(one.save),
            }
        )
        for one in settings.cameras
    ]
    sinks: list[Any] = []
    for sink in settings.sinks:
        update: dict[str, Any] = {}
        if isinstance(sink, JsonlSettings) and sink.path != "-":
            update["path"] = file(sink.path)
        if isinstance(sink, WebhookSettings):
            update["spool"] = file(sink.spool)
        sinks.append(sink.model_copy(update=update))
    detector = settings.pose.detector
    pose = {
        "model": file(settings.pose.model),
        # A name of the table has no ending and no folder.
        "detector": file(detector) if detector and re.search(r"[./\\]", detector) else detector,
    }
    return settings.model_copy(
        update={
            "bundle": file(settings.bundle),
            "cameras": tuple(cameras),
            "sinks": tuple(sinks),
            "pose": settings.pose.model_copy(update=pose),
        }
    )


def _is_path(source: str) -> bool:
    """Neither standard input, nor the number of a webcam, nor an address."""
    return source != "-" and not source.isdigit() and "://" not in source
