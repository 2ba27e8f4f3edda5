"""Whether a node accepts connections, asked of real sockets."""

import socket
import time
from collections.abc import Iterator

import pytest

from chassis.rpc import probe as module
from chassis.rpc.probe import Probe, is_any_open


@pytest.fixture
def node() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as node:
        yield node


@pytest.fixture
def connection(node: socket.socket) -> Iterator[socket.socket]:
    with socket.create_connection(node.getsockname()) as connection:
        node.accept()
        yield connection


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    yield probe
    probe.close()


def answers(probe: Probe, connection: socket.socket) -> list[bool]:
    """What it says three times, with time for the network in between."""
    found = []
    for _ in range(3):
        found.append(probe.is_refused(connection))
        time.sleep(0.02)
    return found


def test_a_node_that_closed_its_port_is_noticed_at_the_next_question(
    node: socket.socket, connection: socket.socket, probe: Probe
) -> None:
    assert not probe.is_refused(connection)
    node.accept()
    node.close()
    assert answers(probe, connection) == [False, True, True]
    probe.close()
    probe.close()
    assert not probe.is_refused(connection)  # it has not asked again yet


def test_ipv6(probe: Probe) -> None:
    try:
        node = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with node, socket.create_connection(node.getsockname()[:2]) as connection:
        node.accept()
        assert answers(probe, connection) == [False] * 3
        node.close()
        assert answers(probe, connection)[-1]


def test_silence_says_nothing_and_is_not_waited_for(
    node: socket.socket, connection: socket.socket, probe: Probe
) -> None:
    """A full backlog drops packets, as a node that is cut off does."""
    waiting = []
    for _ in range(3):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(node.getsockname())
    began = time.monotonic()
    assert answers(probe, connection) == [False] * 3
    assert time.monotonic() - began < 0.5
    for each in waiting:
        each.close()


def test_other_errors_say_nothing(
    connection: socket.socket, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socket", fail)
    assert answers(probe, connection) == [False] * 3
    monkeypatch.undo()
    connection.close()  # it has no other end any more
    assert answers(probe, connection) == [False] * 3


def test_one_of_the_others_is_enough(
    node: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        there, gone = node.getsockname(), other.getsockname()
    assert is_any_open([gone, there])
    assert not is_any_open([gone]) and not is_any_open([])
    monkeypatch.setattr(module, "ACCEPT_TIMEOUT", 0.01)
    assert not is_any_open([("192.0.2.1", 5672)])  # nobody's address
