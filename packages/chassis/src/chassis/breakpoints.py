"""A ``breakpoint()`` that was left in the code must not end a request."""

import inspect
import logging
import os
import sys
from typing import Any

logger = logging.getLogger(__name__)


def pass_over_breakpoints() -> None:
    """Have ``breakpoint()`` say where it is, and go on, where nobody could answer.

    Python's own debugger reads standard input: that of a server is closed, which fails
    the request, or another's. A debugger that is there by now keeps its breakpoints.
    """
    if sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = pass_over


def pass_over(*args: Any, **kwargs: Any) -> Any:
    """For ``sys.breakpointhook``: a line in the log; the debugger at a terminal, or the
    one that PYTHONBREAKPOINT names."""
    if os.environ.get("PYTHONBREAKPOINT") or _has_terminal():
        return sys.__breakpointhook__(*args, **kwargs)
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None
    logger.warning(
        "breakpoint() at %s:%s is passed over, as no debugger is attached: "
        "docs/DEBUGGING.md says how to attach one",
        caller.f_code.co_filename if caller else "?",
        caller.f_lineno if caller else "?",
    )
    return None


def _has_terminal() -> bool:
    stdin = sys.stdin
    return stdin is not None and not stdin.closed and stdin.isatty()
