"""A headless Chromium, driven with its DevTools protocol over two pipes.

Each message is JSON, followed by a NUL. Chromium reads descriptor 3 and writes
descriptor 4, opens no port, and ends when the pipes close.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import install
from tests.e2e.client import wait_for

NAMES = ("chromium", "google-chrome", "chromium-headless-shell")
FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
]
TIMEOUT = 20.0  # seconds for one answer

# Puts the pipes where Chromium looks for them, then becomes Chromium.
EXEC = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""

# Resolves when the condition holds; checks it after each change of the page.
WAIT = """new Promise((resolve, reject) => {
    const holds = () => { try { return %s } catch { return false } };
    const look = () => {
        if (!holds()) return;
        observer.disconnect();
        resolve(true);
    };
    const observer = new MutationObserver(look);
    const all = {subtree: true, childList: true, attributes: true, characterData: true};
    observer.observe(document, all);
    setTimeout(() => reject("not within 15 s"), 15000);
    look();
})"""


def find_chromium() -> str | None:
    """The machine's Chromium; it is installed if no question is needed."""
    if _find() is None:
        install.install(["chromium"], print)
    return _find()


def _find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class CommandFailed(AssertionError):
    """Chromium refused a command."""


class Browser:
    """One Chromium with one page, and the windows that it opens.

    `hosts` are names that mean this machine. No other name is resolved, so nothing
    can leave. `asked` are the addresses of all requests that were sent.
    """

    def __init__(self, binary: str, profile: Path, hosts: Sequence[str]) -> None:
        self.asked: dict[str, str] = {}
        self.errors: list[str] = []
        rules = [f"MAP {host} 127.0.0.1" for host in hosts]
        flags = [*FLAGS, f"--user-data-dir={profile}"]
        flags += [f"--host-resolver-rules={', '.join([*rules, 'MAP * ~NOTFOUND'])}"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        pipes = [str(theirs_in), str(theirs_out)]
        self._log = profile.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", EXEC, *pipes, binary, *flags],
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._calls = 0
        self._session = ""
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._attach(self._target)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _attach(self, target: str) -> str:
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        return str(answer["sessionId"])

    @contextmanager
    def popup(self) -> Iterator[None]:
        """Inside, all commands go to the window that the page opens."""
        page = self._session
        self._session = self._attach(wait_for(self._opened, "a window to open"))
        try:
            yield
        finally:
            self._session = page

    def _opened(self) -> str | None:
        targets = self.call("Target.getTargets")["targetInfos"]
        found = (t["targetId"] for t in targets if t.get("openerId") == self._target)
        return next(found, None)

    def close(self) -> None:
        """End Chromium and all of its processes."""
        os.close(self._in)
        os.close(self._out)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; returns its result. Records other events meanwhile."""
        self._calls += 1
        message: dict[str, Any] = {"id": self._calls, "method": method}
        message["params"] = parameters
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise CommandFailed(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer.get("method"), answer.get("params", {}))

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + TIMEOUT
        while b"\0" not in self._buffer:
            left = max(0.0, until - time.monotonic())
            readable, _, _ = select.select([self._out], [], [], left)
            data = os.read(self._out, 1 << 20) if readable else b""
            assert data, f"no answer from Chromium: {self._log.read_text()[-2000:]}"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: str | None, details: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.asked[details["requestId"]] = details["request"]["url"]
        elif event == "Network.loadingFailed" and details.get("blockedReason") == "csp":
            del self.asked[details["requestId"]]
        elif event == "Runtime.exceptionThrown":
            self.errors.append(details["exceptionDetails"]["text"])
        elif event == "Log.entryAdded" and details["entry"]["level"] == "error":
            # Chromium also reports requests that the page's policy blocked, which were
            # not sent.
            if details["entry"]["source"] != "security":
                self.errors.append(str(details["entry"]))

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; waits for a promise."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,  # a window may open
        )
        assert "exceptionDetails" not in answer, f"{expression}: {answer}"
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        self.evaluate(WAIT % condition)

    def click(self, selector: str) -> None:
        """Click an element as soon as it is there."""
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def find(self, element: str) -> str:
        """Wait for an element, a JavaScript expression, also on a page that is still to
        come; returns the expression."""

        def is_there() -> bool:
            try:
                return bool(self.evaluate(f"!!({element})"))
            except CommandFailed:  # between two pages
                return False

        wait_for(is_there, element)
        return element

    def screenshot(self) -> bytes:
        """A picture of the window, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])
