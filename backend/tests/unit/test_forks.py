"""What a child of the worker leaves to its parent."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from app.infrastructure import forks


def opens(address: str | tuple[str, int], family: int) -> list[socket.socket]:
    """A listener, and a connection to it."""
    listener, client = socket.socket(family), socket.socket(family)
    listener.bind(address)
    listener.listen()
    client.connect(listener.getsockname())
    return [listener, client]


@pytest.mark.parametrize("is_local", [False, True])
def test_connections_end_and_what_wakes_the_loop_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    """A Redis on this machine may have a Unix socket."""
    path, place = str(tmp_path / "redis"), ("127.0.0.1", 0)
    family = socket.AF_UNIX if is_local else socket.AF_INET
    listener, client = opens(path if is_local else place, family)
    ears, mouth = socket.socketpair()
    with closing(listener), closing(client), closing(ears), closing(mouth):
        gone = "1000000"  # as the one that lists the others
        mine = [gone, *(str(each.fileno()) for each in (client, ears, mouth))]
        monkeypatch.setattr(os, "listdir", lambda _: mine)
        forks.leave_connections()
        monkeypatch.undo()
        accepted, _ = listener.accept()
        with closing(accepted):
            accepted.settimeout(5)
            assert accepted.recv(1) == b"", "the server sees that it has ended"
        mouth.send(b"x")
        assert ears.recv(1) == b"x"
        assert os.read(client.fileno(), 1) == b"", "its number stays taken"
