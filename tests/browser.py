"""A headless Chromium that is told what to do through a pipe: no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A browser on a machine that does other things too needs its time; nothing is asserted about it.
PATIENCE = 60.0

# Chromium reads commands from descriptor 3 and answers on 4.
_LAUNCH = """
import os, sys
read, write = int(sys.argv[1]), int(sys.argv[2])
read, write = os.dup(read), os.dup(write)
while min(read, write) < 5:
    read, write = os.dup(read), os.dup(write)
os.dup2(read, 3); os.dup2(write, 4)
os.set_inheritable(3, True); os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """A Chromium of this machine."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    """One page in one browser; everything that its console says is kept in `console`."""

    def __init__(self, profile: Path, *, width: int = 1280, height: int = 800, dark: bool = False):
        program = find_browser()
        assert program is not None
        self.console: list[str] = []
        self._number = 0
        self._rest = b""
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-extensions",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", f"--window-size={width},{height}",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out), program, *flags],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session: str | None = None
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.call("Emulation.setScrollbarsHidden", hidden=True)
            self.call("Emulation.setEmulatedMedia", features=[scheme])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """The size of the page."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def call(self, method: str, **params: Any) -> Any:
        """One command of the DevTools protocol; its result."""
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            said["sessionId"] = self._session
        os.write(self._to, json.dumps(said).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            message = self._read(end)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._hear(message)

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            found = os.read(self._from, 1 << 20)
            assert found, "the browser ended"
            self._rest += found
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        said = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(f"{said['type']}: {[one.get('value') for one in said['args']]}")
        elif message.get("method") == "Runtime.exceptionThrown":
            self.console.append(f"exception: {said['exceptionDetails']}")
        elif message.get("method") == "Log.entryAdded":
            entry = said["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")

    def open(self, url: str) -> None:
        """Go to a page; does not wait for anything that goes on loading."""
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What a line of JavaScript gives."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait for a line of JavaScript to give something true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.value(script)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(
            f"{script} did not come true; the page says: "
            f"{self.value('document.body.innerText')!r}, its console: {self.console}"
        )

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
