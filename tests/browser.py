"""A page in a real browser, driven over Chromium's debugging pipe: what it shows, asks for and measures."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from local.chromium import Chromium

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and answers on 4. `Popen` cannot give a child other numbers than its own.
_START = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_ANSWER_S = 60


@dataclass
class Page:
    """One tab.

    Attributes:
        requests: URLs that it has asked for, in order.
    """

    commands: IO[bytes]
    answers: io.BufferedReader
    requests: list[str] = field(default_factory=list)
    session: str = ""
    loaded: int = 0
    _number: int = 0
    _heard: bytes = b""

    def open(self, path: Path) -> None:
        """Shows a file, and returns when it and all it asks for are loaded."""
        self.requests.clear()
        due = self.loaded + 1
        self.call("Page.navigate", url=path.as_uri())
        while self.loaded < due:
            self._listen()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self) -> str:
        """What a reader sees."""
        return str(self.evaluate("document.body.innerText"))

    def resize(self, width: int, height: int = 900) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the reader's system asks for."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path: Path, *, whole: bool = True) -> bytes:
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        image = base64.b64decode(found["data"])
        path.write_bytes(image)
        return image

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._listen()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def _listen(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            self._heard += (found := self.answers.read1())
            assert found, "the browser has ended"
        text, _, self._heard = self._heard.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        self.loaded += message.get("method") == "Page.loadEventFired"
        return message


@contextmanager
def browser(chromium: Chromium, folder: Path) -> Iterator[Page]:
    """A browser with one empty tab; its profile and its words are in the folder."""
    (read_commands, write_commands), (read_answers, write_answers) = os.pipe(), os.pipe()
    theirs = (read_commands, write_answers)
    trampoline = [sys.executable, "-c", _START, *map(str, theirs)]
    command = [*trampoline, str(chromium.program), *_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **chromium.environment},
            pass_fds=theirs,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    for descriptor in theirs:
        os.close(descriptor)
    try:
        with os.fdopen(write_commands, "wb") as commands, os.fdopen(read_answers, "rb") as answers:
            yield _tab(Page(commands, answers))
        process.wait(_ANSWER_S)  # it ends when nobody holds the pipe any more
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tab(page: Page) -> Page:
    target = page.call("Target.createTarget", url="about:blank")["targetId"]
    page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    page.call("Page.enable")
    page.call("Network.enable")
    return page
