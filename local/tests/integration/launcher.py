"""`make run`, and commands used with it, as a user types them."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from local.apps import ROOT
from local.state import leftovers

MAIN = (
    "import sys, pathlib; from local.run import run\n"
    "names = dict.fromkeys(sys.argv[2:], True)\n"
    "sys.exit(run(pathlib.Path(sys.argv[1]), **names))"
)

# For Launcher.start: without RabbitMQ and nginx it starts in a fraction of the time.
POOR_MACHINE = (
    "from local import install, stack\n"
    "install.install_missing = lambda say: None\n"
    "stack.find_script = stack.find_nginx = lambda: None\n"
)


class Launcher:
    """The stack on a separate folder."""

    def __init__(self, folder: Path, *options: str, **env: str) -> None:
        """`options` are keywords of `local.run.run`, such as "debug"."""
        self.folder = folder
        self.options = options
        self.env = env
        self.output = folder.with_suffix(".out")

    def start(self, before: str = "") -> None:
        """Start, without waiting; `before` is Python to run first."""
        code = [sys.executable, "-c", before + MAIN, str(self.folder), *self.options]
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                code,
                cwd=ROOT,
                env={**os.environ, **self.env},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, pattern: str, timeout: float = 120) -> str:
        """Wait until the output matches a pattern; returns its first group."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.output.read_text())):
            assert time.monotonic() < deadline, self.output.read_text()
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)
        return found[1]

    def url(self) -> str:
        """The gateway's address, when everything is up."""
        return self.wait_for(r"Gateway +(http://[\d.:]+)\n(?s:.*)Ctrl-C stops")

    def end(self, number: signal.Signals) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def named(self, name: str) -> int:
        """The process id of the leader with that name."""
        found = leftovers(self.folder, name)
        return min(found, key=lambda process: process.create_time()).pid
