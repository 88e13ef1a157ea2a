"""What a process takes: cores, memory, files, threads."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from stgcn_deploy.errors import requires

__all__ = ["Usage", "slope_per_hour"]

INSTALL = 'pip install "stgcn-deploy[live]"'
MIB = 2.0**20
# Rows of the history at most; then every other one goes.
MOST = 4000


class Usage:
    """Looks at this process every so often, on a thread of its own.

    Args:
        interval: seconds between two looks.
    """

    def __init__(self, interval: float = 0.5) -> None:
        with requires("measuring a process", INSTALL):
            import psutil
        self._process = psutil.Process()
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._lock = threading.Lock()
        self._peak = 0.0
        self.begin()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self) -> None:
        """Count from now on."""
        with self._lock:
            self._start = time.monotonic()
            self._cpu = self._seconds()
            self._threads = self._by_thread()
            self._peak = 0.0
            # Seconds since `begin`, MiB, open files, threads.
            self.history: list[tuple[float, float, int, int]] = []
        self.look()

    def look(self) -> float:
        """One look; returns the MiB in use."""
        process = self._process
        mib = process.memory_info().rss / MIB
        files = process.num_fds() if hasattr(process, "num_fds") else 0
        row = (time.monotonic(), mib, files, process.num_threads())
        with self._lock:
            self._peak = max(self._peak, mib)
            self.history.append((round(row[0] - self._start, 2), round(mib, 2), *row[2:]))
            if len(self.history) >= MOST:
                del self.history[1:-1:2]
        return mib

    def as_dict(self) -> dict[str, Any]:
        """Since `begin`: cores in use on average, and who used them; memory, files and threads."""
        wall = max(time.monotonic() - self._start, 1e-9)
        threads = self._by_thread()
        self.look()
        with self._lock:
            _, *first = self.history[0]
            _, *last = self.history[-1]
            before = self._threads
            used = {name: seconds - before.get(name, 0.0) for name, seconds in threads.items()}
            return {
                "cores": round((self._seconds() - self._cpu) / wall, 3),
                "cores_by_thread": {
                    name: round(seconds / wall, 3) for name, seconds in sorted(used.items())
                },
                "rss_mb": {"start": first[0], "end": last[0], "peak": round(self._peak, 2)},
                "files": {"start": first[1], "end": last[1]},
                "threads": {"start": first[2], "end": last[2]},
            }

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _by_thread(self) -> dict[str, float]:
        """CPU seconds by name of thread, without its number; those of libraries under "libraries"."""
        names = {one.native_id: one.name for one in threading.enumerate()}
        found: dict[str, float] = {}
        for one in self._process.threads():
            name = re.split(r"[-_ ]", names.get(one.id, "libraries"), maxsplit=1)[0]
            found[name] = found.get(name, 0.0) + one.user_time + one.system_time
        return found

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.look()


def slope_per_hour(times: list[float], values: list[float]) -> float:
    """By how much values grow in an hour: the slope of the straight line nearest to them."""
    if len(times) < 2 or times[-1] <= times[0]:
        return float("nan")
    mean_t, mean_v = sum(times) / len(times), sum(values) / len(values)
    above = sum((t - mean_t) * (v - mean_v) for t, v in zip(times, values, strict=True))
    return 3600.0 * above / sum((t - mean_t) ** 2 for t in times)
