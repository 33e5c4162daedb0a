"""A headless browser on a pipe (Chrome's DevTools protocol): opens a page, runs scripts, takes pictures."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["BROWSERS", "Browser", "find_browser"]

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")


def find_browser() -> str | None:
    """The first browser on PATH."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Browser:
    """One tab of a browser that lives as long as the `with` block.

    >>> with Browser(find_browser(), profile_folder) as browser:
    ...     browser.open(page)
    ...     browser.value("document.title")
    """

    def __init__(self, program: str, profile: Path, width: int = 1200, height: int = 900) -> None:
        self.complaints: list[str] = []  # what the console shows as errors and warnings
        self._number = 0
        self._bytes = b""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def give_pipes() -> None:  # the browser reads from 3 and writes to 4
            reading, writing = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        command = [program, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        self._process = subprocess.Popen(
            command,
            close_fds=False,
            preexec_fn=give_pipes,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Browser:
        target = self._ask("Target.createTarget", {"url": "about:blank"}, session="")["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, session="")
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self._ask(f"{domain}.enable")
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, page: Path) -> None:
        """Go to a file and wait until it is loaded whole."""
        self._ask("Page.navigate", {"url": page.resolve().as_uri()})
        while self._next("Page.loadEventFired") is None:
            pass

    def value(self, script: str) -> Any:
        """What an expression gives in the page."""
        answer = self._ask(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, left: float, top: float, width: float, height: float, scale: float = 1) -> bytes:
        """A PNG of a part of the page, also of what lies below the window."""
        clip = {"x": left, "y": top, "width": width, "height": height, "scale": scale}
        answer = self._ask("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        return base64.b64decode(answer["data"])

    def _ask(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters or {}}
        if session is None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next("", self._number)) is None:
            pass
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def _next(self, event: str, number: int = 0) -> dict[str, Any] | None:
        """Read one message; it, if it is the event or the answer that is waited for."""
        deadline = time.monotonic() + 60
        while b"\0" not in self._bytes:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            assert chunk, f"the browser does not answer (waited for {event or number})"
            self._bytes += chunk
        line, _, self._bytes = self._bytes.partition(b"\0")
        message = json.loads(line)
        method, told = message.get("method", ""), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        wanted = message.get("id") == number if number else method == event
        return message if wanted else None
