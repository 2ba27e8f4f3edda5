"""A test that hangs does not hang the suite."""

import subprocess
import sys
from pathlib import Path

from local.apps import ROOT

HANGS = """
import signal, threading, time

def wait_elsewhere():
    time.sleep(600)

def test_that_hangs():
    {before}
    threading.Thread(target=wait_elsewhere, daemon=True).start()
    time.sleep(600)

def test_that_does_not():
    pass
"""


def run(folder: Path, before: str, *options: str) -> str:
    """Pytest's output for the two tests, with short versions of the project's
    limits."""
    file = folder / "test_hangs.py"
    file.write_text(HANGS.format(before=before))
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    command += ["-p", "no:cacheprovider", "-o", "timeout=0.5", *options, str(file)]
    result = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert result.returncode
    return result.stdout


def test_it_fails_with_all_stacks_and_the_others_go_on(tmp_path: Path) -> None:
    said = run(tmp_path, "pass")
    assert "1 failed, 1 passed" in said
    assert "Timeout" in said and "in wait_elsewhere" in said


def test_one_that_hears_no_signal_ends_the_process_with_all_stacks(
    tmp_path: Path,
) -> None:
    deaf = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})"
    said = run(tmp_path, deaf, "-o", "faulthandler_timeout=2")
    assert "in test_that_hangs" in said and "in wait_elsewhere" in said
