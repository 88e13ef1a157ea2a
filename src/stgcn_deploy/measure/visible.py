"""What a session shows of its logits: the logits themselves, or what probabilities tell of them.

A file that a vendor's tool built has its outputs and nothing else.  Where these are probabilities, their
logarithms are compared: two of them differ by as much as their logits do.  What is too small to be told
from nothing is set to a floor on both sides, so that it must be small on both; and a row of which all but
one class lie there says nothing of the logits (docs/verify.md, "Without logits").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import Session
from stgcn_deploy.manifest import Manifest

__all__ = ["LOGITS", "OUTPUT", "Visible", "shares_of", "visible_logits"]

LOGITS, OUTPUT = "logits", "output"

Array = NDArray[Any]


@dataclass(frozen=True)
class Visible:
    """How a session's outputs become something to compare with reference logits.

    Attributes:
        kind: logits, or the activation whose results are all there is.
        name: of the output that is read.
        floor: probabilities below it are not told apart.
        ceiling: of independent classes (sigmoid), neither are those less than this below one.
    """

    kind: Literal["logits", "softmax", "sigmoid"]
    name: str
    floor: float = 0.0
    ceiling: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether nothing of the logits is hidden."""
        return self.kind == "logits"

    def of(self, outputs: Mapping[str, Array]) -> Array:
        """(N, classes): logits, logarithms of probabilities, or log-odds where these are independent."""
        found = outputs[self.name]
        if self.whole:
            return found
        shares = found.astype(np.float64)
        if self.kind == "sigmoid":
            return self._odds(shares)
        logs: Array = np.log(np.maximum(shares, self.floor))
        return logs

    def expected(self, logits: Array) -> Array:
        """(N, classes): what `of` would give for these logits without any rounding."""
        if self.whole:
            return logits
        if self.kind == "sigmoid":
            return self._odds(shares_of(logits, self.kind))
        wide = logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite fails the comparison, in words
            over = wide - wide.max(axis=1, keepdims=True)
            logs = over - np.log(np.exp(over).sum(axis=1, keepdims=True))
        floored: Array = np.maximum(logs, np.log(self.floor))
        return floored

    def told(self, compared: Array) -> NDArray[np.int64]:
        """(N,): of how many classes a row of `of` or `expected` tells the logit, up to a common term."""
        if self.whole:
            return np.full(len(compared), compared.shape[1], np.int64)
        above = compared > np.log(self.floor) + 1e-9
        if self.kind == "sigmoid":
            ends = np.log(self.floor / (1 - self.floor)), np.log((1 - self.ceiling) / self.ceiling)
            above = (compared > ends[0] + 1e-9) & (compared < ends[1] - 1e-9)
        counted: NDArray[np.int64] = above.sum(axis=1)
        return counted

    def seen(self, logits: Array) -> float:
        """Share of rows of reference logits of which enough is told.

        That is two classes, or one where classes are independent.
        """
        least = 1 if self.kind == "sigmoid" else min(2, logits.shape[1])
        return float((self.told(self.expected(logits)) >= least).mean())

    def _odds(self, shares: Array) -> Array:
        held = np.clip(shares, self.floor, 1 - self.ceiling)
        odds: Array = np.log(held) - np.log1p(-held)
        return odds


def shares_of(logits: Array, activation: str) -> Array:
    """What the graph's last step makes of logits (N, classes), in float64."""
    wide = logits.astype(np.float64)
    shares: Array
    if activation == "sigmoid":
        # Each tail by itself, so that neither overflows.
        shares = np.exp(-np.logaddexp(0, -wide))
    else:
        with np.errstate(invalid="ignore"):
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
    return shares


def visible_logits(manifest: Manifest, session: Session, precision: str) -> Visible:
    """What a session shows: logits among its outputs, or as its output, or probabilities alone.

    Args:
        precision: what the file computes in; float32 keeps the ratio of two numbers down to 1e-38, half
            precision to 6e-5, and next to one they end at 6e-8 and 5e-4.  Of a sigmoid that holds at both
            ends: runtimes compute it to so much of one, not of itself.
    """
    if LOGITS in {spec.name for spec in session.outputs}:
        return Visible("logits", LOGITS)
    if manifest.output == "logits":
        return Visible("logits", OUTPUT)
    single = precision == "fp32"
    if manifest.activation == "sigmoid":
        end = 2e-2 if single else 5e-2
        return Visible("sigmoid", OUTPUT, end, end)
    return Visible("softmax", OUTPUT, 1e-30 if single else 1e-4)
