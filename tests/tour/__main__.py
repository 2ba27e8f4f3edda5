"""`.venv/bin/python -m tests.tour`: start a copy as a new user does, and send the
requests.

The output goes into README.md and docs/TOUR.md, and into the picture docs/RUN.svg.
"""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from kit.tests.copies import copy_project
from local.apps import ROOT, answers
from local.ports import is_free
from local.registry import lacks_demo
from tests.e2e.client import wait_for
from tests.tour import pages, picture

PORT = 8081
PICTURE = ROOT / "docs" / "RUN.svg"
START = "make run"
READY = "Ctrl-C stops everything."  # the last line that it prints by itself
INSTALLATION = 900.0  # seconds; it also downloads the packages
FOLDER = "starter"


def main() -> None:
    """Start, ask, stop; then write."""
    if lacks_demo("tests.tour"):
        return
    if not is_free(PORT):
        sys.exit(f"Something listens on {PORT}, which the pages show: stop it first")
    with TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / FOLDER)
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                START.split(),
                cwd=project,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: _ready(process, log), READY, INSTALLATION)
            done = [_ask(page) for page in pages.PAGES]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(120)
        started = log.read_text().partition(READY)[0] + READY
    first = done[0][0]
    shown = [f"$ {START}", picture.without_logs(started.replace(folder, "~"))]
    shown += [f"\n$ {first.command}", first.output]
    PICTURE.write_text(picture.draw(f"{START}, and a first request", "\n".join(shown)))
    for page, steps in zip(pages.PAGES, done):
        page.write_text(pages.written(page.read_text(), steps))


def _ready(process: subprocess.Popen[bytes], log: Path) -> bool:
    text = log.read_text()
    if process.poll() is not None:
        sys.exit(text)
    if READY not in text or f"{pages.SHOWN_URL}/" not in text:
        return False
    if not answers(f"{pages.SHOWN_URL}/health/ready"):
        return False
    with urllib.request.urlopen(f"{pages.SHOWN_URL}/health") as health:
        # In the first seconds RabbitMQ has no figures of the queues.
        return b"no figures" not in health.read()


def _ask(page: Path) -> list[pages.Step]:
    """The output of the page's commands now."""
    return [real for _, real in pages.run(page.read_text(), pages.SHOWN_URL, {})]


if __name__ == "__main__":
    main()
