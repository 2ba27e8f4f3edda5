"""A TCP proxy that can pass on what the server sends one byte at a time."""

import socket
import threading
from types import TracebackType

PAUSE = 0.005


class SlowProxy:
    """Listens on ``port`` for one connection after another."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self.port = self._listener.getsockname()[1]
        self.slow = False

    def __enter__(self) -> "SlowProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        try:
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()
        except OSError:
            pass  # closed

    def _pump(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:
        try:
            while data := source.recv(65536):
                if not (answer and self.slow):
                    sink.sendall(data)
                    continue
                for byte in data:
                    sink.sendall(bytes([byte]))
                    self._stop.wait(PAUSE)
        except OSError:
            pass  # one side closed
