"""What the pipeline says to the world, and how it is written.

    {"v": 1, "id": "...", "type": "action_start", "camera": "door", "track": 7, "label": "fall", ...}

docs/live-events.md has all fields.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["EVENT_VERSION", "EVENT_TYPES", "Event", "EventType"]

EVENT_VERSION = 1
EventType = Literal[
    "action_start", "action_update", "action_end", "camera_state", "degraded", "offline"
]
EVENT_TYPES: tuple[EventType, ...] = (
    "action_start", "action_update", "action_end", "camera_state", "degraded", "offline",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        id: unique; the same when an event is sent again.
        track: of the person; None for whole scenes and for what is not about people.
        label: class of an action, the new state of a camera, the name of a level.
        score: of the label, smoothed, 0 to 1; None where there is none.
        scores: (label, probability) of the best classes of the window, best first.
        t_start: Unix seconds, when it began as far as windows can tell.
        t_event: Unix seconds of the newest frame that it rests on.
        t_emit: Unix seconds, when it was made.
        window: t0, t1 (Unix seconds), fill and valid_ratio (0 to 1) of the window that decided it.
        box: of the person in the newest frame, x, y, width, height.
        latency_ms: from the arrival of the newest frame of the window to t_emit.
        reason: why, for states of cameras and levels.
        model: name and sha256 of the bundle's graph.
    """

    id: str
    type: EventType
    camera: str
    t_event: float
    t_emit: float
    track: int | None = None
    label: str = ""
    score: float | None = None
    scores: tuple[tuple[str, float], ...] = ()
    t_start: float | None = None
    window: dict[str, float] | None = None
    box: tuple[float, float, float, float] | None = None
    latency_ms: float | None = None
    reason: str = ""
    model: dict[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, `v` first."""
        found = asdict(self)
        found["scores"] = [[label, round(score, 5)] for label, score in self.scores]
        return {"v": EVENT_VERSION, **found}

    def as_line(self) -> str:
        """One line of JSON, without its end."""
        return json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":"))
