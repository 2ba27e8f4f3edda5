"""A TCP proxy in front of the broker, for network faults."""

import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to the broker until told to misbehave.

    With `tls`, it speaks TLS to its clients and plain TCP to the broker.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._target = host, port
        self._tls = tls
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        self.accepted = 0
        #: Whether to send the broker's bytes to the client one at a time.
        self.trickle = False
        #: While cleared, the broker's bytes are held back, after at most `spill`
        #: bytes.
        self.flowing = threading.Event()
        self.flowing.set()
        self.spill = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break all connections, and accept no more."""
        self.suspend()
        self.flowing.set()
        self.cut()

    def suspend(self) -> None:
        """Accept no more; connections go on, as before a planned stop."""
        # Closing alone would not wake a thread that waits in accept().
        self._shut(self._listener)
        self._listener.close()

    @property
    def is_left(self) -> bool:
        """Whether all clients have closed their connections."""
        return not any(pump.is_alive() for pump in self._pumps)

    def cut(self) -> None:
        """Break all connections; new ones are accepted."""
        broken, self._open = self._open, []
        for one in broken:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other thread was faster

    def stall(self, spill: int) -> None:
        """Hold back the broker's bytes after `spill` more of them."""
        self.spill = spill
        self.flowing.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                if self._tls:
                    client = self._tls.wrap_socket(client, server_side=True)
                broker = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._open += client, broker
            for pump in (self._to_broker, self._to_client):
                thread = threading.Thread(target=pump, args=(client, broker))
                thread.start()
                self._pumps.append(thread)

    def _to_broker(self, client: socket.socket, broker: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                broker.sendall(data)
        except OSError:
            pass
        finally:
            self._shut(broker)

    def _to_client(self, client: socket.socket, broker: socket.socket) -> None:
        try:
            while data := broker.recv(65536):
                self._forward(client, data)
        except OSError:
            pass
        finally:
            self._shut(client)

    def _forward(self, client: socket.socket, data: bytes) -> None:
        if not self.flowing.is_set():
            part, self.spill = data[: self.spill], 0
            client.sendall(part)
            data = data[len(part) :]
            self.flowing.wait()
        if not self.trickle:
            client.sendall(data)
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            client.sendall(bytes([byte]))
            time.sleep(0.0005)  # so that each byte arrives alone

    @staticmethod
    def _shut(sock: socket.socket) -> None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
