"""What a graph takes, and how it is made from a clip of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.skeleton.axes import named_shape, to_native
from stgcn_deploy.skeleton.streams import STREAMS

__all__ = ["OPEN_AXES", "InputSpec", "make_feed"]

# How an open axis is called in a graph.
OPEN_AXES = {"N": "batch", "T": "frames", "M": "persons"}


@dataclass(frozen=True)
class InputSpec:
    """One input of a graph.

    Attributes:
        name: in the graph.
        axes: its axis order, e.g. "NCTVM"; without M for networks of one person.
        channels: C; the clip's first channels.
        stream: a name of skeleton.streams.STREAMS.
        trim: by how many frames the stream is shorter than the clip.
    """

    name: str = "input"
    axes: str = "NCTVM"
    channels: int = 3
    stream: str = "joint"
    trim: int = 0

    def shape(self, sizes: Mapping[str, int | str]) -> tuple[int | str, ...]:
        """Native shape for sizes of the axes N, M, T, V; a str is the name of an open axis."""
        mine = {**sizes, "C": self.channels}
        if self.trim:
            frames = mine["T"]
            mine["T"] = f"{frames}_{self.name}" if isinstance(frames, str) else frames - self.trim
        return named_shape(self.axes, mine)

    def make(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """A batch (N, M, T, V, C) as this input.

        Raises:
            UsageError: several persons where the network takes one.
        """
        stream = STREAMS[self.stream](batch)[..., : self.channels]
        return to_native(stream, self.axes).astype(np.float32)


def make_feed(inputs: Iterable[InputSpec], batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """A batch (N, M, T, V, C) as all inputs of a graph, by name."""
    return {spec.name: spec.make(batch) for spec in inputs}
