"""A forgotten ``breakpoint()`` is logged and skipped."""

import os
import pty
import subprocess
import sys

CODE = """
from chassis.logs import configure_logging

configure_logging("prices", "INFO", "text")
breakpoint()
print("went on")
"""


def run(stdin: int, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE],
        stdin=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_server_goes_on_and_says_where_it_was() -> None:
    result = run(subprocess.DEVNULL)
    assert (result.returncode, result.stdout) == (0, "went on\n")
    assert "WARNING" in result.stderr and "breakpoint() at <string>:5" in result.stderr
    assert "docs/DEBUGGING.md" in result.stderr


def test_somebody_at_a_terminal_gets_the_debugger() -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"c\n")
    result = run(theirs)
    os.close(theirs)
    os.close(ours)
    assert "(Pdb)" in result.stdout and "went on" in result.stdout
    assert "passed over" not in result.stderr


def test_a_debugger_of_the_users_own_is_kept() -> None:
    result = run(subprocess.DEVNULL, PYTHONBREAKPOINT="0")
    assert (result.returncode, result.stdout) == (0, "went on\n")
    assert "passed over" not in result.stderr
