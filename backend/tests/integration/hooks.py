"""A receiver of webhooks, as others run it: a server on a socket."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from local.ports import free_port

Answer = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Request:
    """What arrived. ``body`` is the exact bytes."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Hook:
    """Keeps what arrives. ``answer`` decides on each request; it may wait."""

    port: int = field(default_factory=free_port)
    answer: Callable[[Request], Answer] = lambda _: (204, {})
    requests: list[Request] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    @contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator["Hook"]:
        """Listens; afterwards connections are refused."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, self.rfile.read(size))
                hook.requests.append(request)
                status, answer = hook.answer(request)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **answer}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
