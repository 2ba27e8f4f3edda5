"""rabbitmq/leave.sh waits for the clients of a node that is about to stop."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.apps import ROOT
from tests.e2e.client import wait_for

SCRIPT = ROOT / "rabbitmq/leave.sh"
Leave = Callable[[socket.socket], subprocess.Popen[bytes]]


@pytest.fixture
def leave(tmp_path: Path) -> Leave:
    """Run it for the port of a server, where rabbitmqctl only notes its words."""
    tool = tmp_path / "rabbitmqctl"
    tool.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    tool.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(server: socket.socket) -> subprocess.Popen[bytes]:
        port = str(server.getsockname()[1])
        script = subprocess.Popen([SCRIPT, port], env=env)
        asked = tmp_path / "asked"
        wait_for(
            lambda: asked.exists() and asked.read_text() > "", "it closes the ports"
        )
        return script

    return run


def listening(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_waits_for_the_clients_of_the_port(
    leave: Leave, tmp_path: Path, address: str
) -> None:
    with listening(address) as node, listening(address) as other:
        with socket.create_connection(other.getsockname()[:2]):
            client = socket.create_connection(node.getsockname()[:2])
            accepted, _ = node.accept()
            script = leave(node)
            assert (tmp_path / "asked").read_text() == "-q suspend_listeners\n"
            with pytest.raises(subprocess.TimeoutExpired):
                script.wait(0.5)
            client.close()
            accepted.close()
            assert script.wait(4) == 0


def test_it_does_not_wait_for_ever(leave: Leave) -> None:
    with listening("127.0.0.1") as node:
        with socket.create_connection(node.getsockname()):
            began = time.monotonic()
            assert leave(node).wait(10) == 0
            assert 4 < time.monotonic() - began
