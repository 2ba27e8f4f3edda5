"""The relay that other tests put in front of a server."""

import socket

from tests.relay import Relay

ENOUGH = 300  # of which some would come just as the relay closes


def test_no_connection_outlives_the_closing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=ENOUGH) as server:
        relay = Relay(server.getsockname()[1])
        for _ in range(ENOUGH):
            relay.open()
            with socket.create_connection(("127.0.0.1", relay.port)) as client:
                relay.close()
                client.settimeout(5)
                try:
                    assert client.recv(1) == b""
                except ConnectionResetError:
                    pass  # it was not yet accepted
