"""A separate port in front of a server, for network faults between."""

import socket
import threading
from types import TracebackType
from typing import Self

from local.ports import free_port


class Relay:
    """Forwards what arrives. Only clients that connect to `port` see its faults, not
    other connections to the same server. While `requests` or `answers` is cleared,
    nothing passes in that direction. The bytes are held back, not lost: TCP would send
    them again when the network recovers.

    While `requests` or `answers` is cleared, nothing passes in that direction. It is
    kept back, not lost: TCP would send it again when the network is whole.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.requests, self.answers = threading.Event(), threading.Event()
        self.mend()
        self._open: list[socket.socket] = []
        #: Connections that were closed as they came, since `refuse`.
        self.refused = 0
        self._is_refusing = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.mend()
        self.close()

    def open(self) -> None:
        """Listens."""
        self._is_refusing = False
        self._listen()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self._open = [listener]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def close(self) -> None:
        """Closes every connection, and refuses further ones."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # has ended by itself
                each.close()

    def refuse(self) -> None:
        """Closes every connection, and counts and closes further ones, until `open`."""
        self.close()
        self.refused, self._is_refusing = 0, True
        self._listen()

    def mend(self) -> None:
        """Lets everything pass again."""
        self.requests.set()
        self.answers.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._is_refusing:
                client.close()
                self.refused += 1
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()  # the server is gone, and the client must notice
                continue
            with self._lock:
                if listener.fileno() < 0:  # closed since it accepted this one
                    client.close()
                    server.close()
                    return
                self._open = [each for each in self._open if each.fileno() >= 0]
                self._open += [client, server]
            for way in (
                (client, server, self.requests),
                (server, client, self.answers),
            ):
                threading.Thread(target=_copy, args=way, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, may: threading.Event) -> None:
    try:
        while data := source.recv(65536):
            may.wait()
            target.sendall(data)
        may.wait()
    except OSError:
        pass  # the other direction has ended it
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # likewise
    source.close()
