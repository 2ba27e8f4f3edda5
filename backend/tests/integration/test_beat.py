"""Beat's heartbeat file without Redis; `tests/integration/test_probes.py` looks at it
with Redis."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ports import free_port

BACKEND = Path(__file__).parents[2]


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    url = f"redis://127.0.0.1:{free_port()}/0"
    command = [sys.executable, "-m", "celery", "-A", "app.worker", "beat"]
    command += ["--pidfile=", "--schedule", str(tmp_path / "schedule")]
    env = {
        **os.environ,
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": url,
        "CELERY_SWEEP_EVERY_SECONDS": "600",
        "CELERY_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
    }
    process = subprocess.Popen(command, cwd=BACKEND, env=env)
    yield process
    process.kill()
    process.wait()


def wait_touched(file: Path) -> float:
    """Wait until the file is touched again; returns its time."""
    before = file.stat().st_mtime if file.exists() else 0.0
    until = time.monotonic() + 15
    while not file.exists() or file.stat().st_mtime <= before:
        assert time.monotonic() < until, "the file is not touched"
        time.sleep(0.02)
    return file.stat().st_mtime


@pytest.mark.promise("docs/TASKS.md", "Beat touches it in each turn of its loop")
def test_beat_touches_the_file_while_it_works(
    beat: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    times = [wait_touched(file) for _ in range(3)]
    pauses = [later - sooner for sooner, later in zip(times, times[1:], strict=False)]
    assert max(pauses) < 10  # a probe has patience for 30 s
