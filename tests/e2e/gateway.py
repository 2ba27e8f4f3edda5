"""More gateways beside the stack's, each with settings of its own."""

import socket
from collections.abc import Callable
from contextlib import suppress

from local.servers.nginx import Nginx
from tests.e2e.client import Api


class Gateway(Nginx):
    """Another nginx beside the stack's."""

    name = "gateway"


NewGateway = Callable[..., Api]


def exchange(api: Api, request: bytes) -> bytes:
    """Send bytes that no client library would, and read until the end.

    A server that has not read all of them may end with a reset, after its answer.
    """
    address = (api.http.base_url.host, api.http.base_url.port)
    answer = b""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    return answer
