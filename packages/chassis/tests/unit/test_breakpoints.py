"""A forgotten ``breakpoint()`` is logged and skipped."""

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from chassis.breakpoints import pass_over, pass_over_breakpoints

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


class Stdin:
    def __init__(self, *, is_terminal: bool = True, is_closed: bool = False) -> None:
        self.closed = is_closed
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        assert not self.closed  # else it raises
        return self._is_terminal


@pytest.mark.parametrize(
    ("stdin", "is_passed_over"),
    [
        (None, True),
        (Stdin(is_closed=True), True),
        (Stdin(is_terminal=False), True),
        (Stdin(), False),
    ],
)
def test_the_debugger_needs_somebody_who_answers(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stdin: Stdin | None,
    is_passed_over: bool,
) -> None:
    called: list[Any] = []
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(
        sys, "__breakpointhook__", lambda *given, **named: called.append((given, named))
    )
    pass_over(1, header="here")
    assert called == ([] if is_passed_over else [((1,), {"header": "here"})])
    assert len(caplog.messages) == is_passed_over
    monkeypatch.setenv("PYTHONBREAKPOINT", "ipdb.set_trace")
    pass_over()
    assert called[-1] == ((), {})


def test_a_debugger_that_is_there_keeps_its_breakpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    pass_over_breakpoints()
    assert sys.breakpointhook is pass_over
    monkeypatch.setattr(sys, "breakpointhook", print)
    pass_over_breakpoints()
    assert sys.breakpointhook is print
