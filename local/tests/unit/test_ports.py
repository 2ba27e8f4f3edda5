"""Ports are chosen so that no other process gets the same one."""

import socket

from local import apps, ports
from local.stack import announced
from local.tests.troubleshooting import explanation


def test_a_listening_port_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.accepts(port)
    assert ports.is_free(port)
    assert not ports.accepts(port)


def test_a_port_whose_server_has_just_ended_is_free() -> None:
    """The server closes first, so the system remembers the connection for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    assert ports.is_free(port)


def test_a_port_of_another_address_is_not_free() -> None:
    """A server may listen on all of them."""
    with socket.create_server(("127.0.0.2", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_is_claimed_once() -> None:
    chosen = [ports.free_port() for _ in range(50)]
    assert len(set(chosen)) == len(chosen)


def test_the_standard_port_is_taken_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        standard = server.getsockname()[1]
        assert ports.standard_or_free(standard) != standard
        said: list[str] = []
        announced("nginx", standard, said.append)
    assert "address that is printed" in explanation(said[0])
    assert ports.standard_or_free(standard) == standard
    assert ports.standard_or_free(standard) != standard


def test_a_port_of_another_process_is_not_claimed() -> None:
    port = ports.free_port()
    claim = ports._claimed.pop(port)  # as if another process held it
    try:
        assert not ports.claim(port)
    finally:
        claim.close()
    assert ports.claim(port)


def test_an_address_with_its_port_is_written_as_urls_need_it() -> None:
    assert ports.at(80, "127.0.0.1") == "127.0.0.1:80"
    assert ports.at(80, "::1") == "[::1]:80"
    assert ports.at(80, "mq.example.org") == "mq.example.org:80"


def test_no_client_takes_the_port_of_a_server_that_is_down() -> None:
    """32768 is where Linux begins to choose ports for clients."""
    assert 1024 < ports._RANGE.start and ports._RANGE.stop <= 32768
    assert apps.api_environment({}, 1)["API_HOST"] == ports.LOOPBACK
