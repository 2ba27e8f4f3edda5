"""What a forked child leaves to its parent."""

import os
import socket
import stat
from contextlib import suppress


def leave_connections() -> None:
    """Close the parent's connections to servers in this process.

    epoll forgets a connection when the last process has closed it. Without this, a
    child that replaces another one keeps the parent's: after a loss of Redis, the
    parent is woken all the time for a connection that it has closed.

    Each descriptor then leads to nothing, but stays taken: objects of the parent will
    close it again, and must not hit what was opened under the same number.
    """
    with open(os.devnull, "rb") as nothing:
        for name in os.listdir("/dev/fd"):
            with suppress(OSError):  # it was the listing's own
                if _is_connection(int(name)):
                    os.dup2(nothing.fileno(), int(name), inheritable=False)


def _is_connection(descriptor: int) -> bool:
    """Whether it leads to a server, unlike the pairs that wake an event loop."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as found:
        return found.family != socket.AF_UNIX or bool(found.getpeername())
