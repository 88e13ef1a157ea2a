"""The table of sinks; add a file, its settings and a line to add a kind."""

from __future__ import annotations

from typing import Any, Protocol

from stgcn_deploy.live.settings import SinkSettings
from stgcn_deploy.live.sinks.base import Sink
from stgcn_deploy.registry import Registry

__all__ = ["SINKS", "make_sink"]


class _Maker(Protocol):
    def __call__(self, settings: Any, /) -> Sink: ...


SINKS: Registry[_Maker] = Registry(
    "sink",
    {
        "jsonl": "stgcn_deploy.live.sinks.jsonl:jsonl_sink",
        "mqtt": "stgcn_deploy.live.sinks.mqtt:MqttSink",
        "webhook": "stgcn_deploy.live.sinks.webhook:WebhookSink",
    },
)


def make_sink(settings: SinkSettings) -> Sink:
    """The sink that these settings describe, ready to take events.

    Raises:
        UsageError: settings that cannot work, or a place that cannot be written.
        MissingDependencyError: its library is not installed.
    """
    return SINKS[settings.kind](settings)
