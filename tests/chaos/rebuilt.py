"""The records, rebuilt from the event log."""

import os
import subprocess
import sys

from local.apps import BACKEND
from tests.chaos.system import System


def audit(system: System) -> list[str]:
    """What `make rebuild-records` would correct."""
    done = subprocess.run(
        [sys.executable, "-m", "app.event_log", "rebuild"],
        cwd=BACKEND,
        env={**os.environ, **system.stack.env},
        capture_output=True,
        text=True,
    )
    said = done.stdout.strip() or done.stderr[-300:]
    return [f"records that are not as in the log: {said}"] if done.returncode else []
