"""Scores on disk while an evaluation runs, so that a run that was killed goes on where it stopped.

One folder a run: plan.json says what is evaluated, and one file for each candidate holds a row of
float32 scores for each record that is done, in the run's order.  A run with another plan never finds
the folder, because its name is the plan's hash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.errors import UsageError
from stgcn_deploy.files import cache_folder

__all__ = ["Journal"]


class Journal:
    """Rows of scores, one file a candidate.

    Args:
        plan: everything that the scores depend on, as JSON.
        widths: classes of each candidate.
        fresh: forget what an earlier run left.

    Attributes:
        done: rows that every candidate has, from an earlier run.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        widths: Sequence[int],
        *,
        root: Path | None = None,
        fresh: bool = False,
    ) -> None:
        text = json.dumps(plan, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:20]
        self.folder = (root or cache_folder() / "eval") / name
        self._widths = tuple(widths)
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "plan.json").write_text(text, encoding="utf-8")
            self.done = min(self._rows(number) for number in range(len(widths)))
            self._files: list[IO[bytes]] = [self._open(number) for number in range(len(widths))]
        except OSError as error:
            raise UsageError(
                f"cannot keep scores in {self.folder}: {error.strerror}; set XDG_CACHE_HOME to a "
                "folder that can be written."
            ) from None

    def _place(self, number: int) -> Path:
        return self.folder / f"scores-{number}.f32"

    def _rows(self, number: int) -> int:
        place = self._place(number)
        return place.stat().st_size // (4 * self._widths[number]) if place.is_file() else 0

    def _open(self, number: int) -> IO[bytes]:
        """Append after the last row that all have; a half row and lonely ones are cut off."""
        file = self._place(number).open("ab")
        file.truncate(self.done * 4 * self._widths[number])
        return file

    def add(self, rows: Sequence[NDArray[np.float32]]) -> None:
        """The scores (classes,) of one record by each candidate."""
        for file, row in zip(self._files, rows, strict=True):
            file.write(np.ascontiguousarray(row, dtype="<f4").tobytes())

    def flush(self) -> None:
        """Let a kill cost nothing that was done so far."""
        for file in self._files:
            file.flush()

    def scores(self) -> list[NDArray[np.float32]]:
        """All rows (N, classes) of each candidate."""
        self.flush()
        return [
            np.fromfile(self._place(number), dtype="<f4").reshape(-1, width)
            for number, width in enumerate(self._widths)
        ]

    def close(self) -> None:
        """Keep the files for another run."""
        for file in self._files:
            file.close()

    def remove(self) -> None:
        """The run is complete; nothing is left to go on with."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
