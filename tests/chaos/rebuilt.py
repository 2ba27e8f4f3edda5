"""The records, rebuilt from the event log."""

import os
import subprocess
import sys
from collections.abc import Mapping

from local.apps import BACKEND


def audit(env: Mapping[str, str]) -> list[str]:
    """What `make rebuild-records` would correct."""
    done = subprocess.run(
        [sys.executable, "-m", "app.event_log", "rebuild"],
        cwd=BACKEND,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    said = done.stdout.strip() or done.stderr[-300:]
    return [f"records that are not as in the log: {said}"] if done.returncode else []
