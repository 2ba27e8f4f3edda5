"""Asks whether nodes accept connections.

A node that stops on purpose first closes its port (``rabbitmqctl suspend_listeners``).
Open connections go on, so that their owners can leave in order.
"""

import errno
import socket
from collections.abc import Sequence

from chassis.amqp_url import Host

#: Seconds for another node to accept a connection.
ACCEPT_TIMEOUT = 0.2


class Probe:
    """Asks the node of a connection, and never waits for the answer.

    Only a refusal counts. Silence and other errors do not say that the node stops.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._error = 0

    def is_refused(self, connection: socket.socket) -> bool:
        """Whether the node has refused the last attempt; begins the next one."""
        was_refused = self._was_refused()
        self.close()
        try:
            self._socket = socket.socket(connection.family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._error = self._socket.connect_ex(connection.getpeername())
        except OSError:
            self.close()
        return was_refused

    def _was_refused(self) -> bool:
        if self._socket is None:
            return False
        later = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.ECONNREFUSED in (self._error, later)

    def close(self) -> None:
        """End the last attempt."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def is_any_open(hosts: Sequence[Host]) -> bool:
    """Whether one of them accepts connections. Waits a moment for each."""
    for host in hosts:
        try:
            socket.create_connection(host, ACCEPT_TIMEOUT).close()
        except OSError:
            continue
        return True
    return False
