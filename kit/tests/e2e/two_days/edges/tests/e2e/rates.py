"""Stands for the server of the rates of exchange."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

SLOW = "ZZZ"
ANSWERS = {"USD": (200, {"currency": "USD", "rate": 1.5}), "BAD": (500, {})}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer, or wait until the client has given up."""
        name = self.path.strip("/")
        if name == SLOW:
            self.rfile.read(1)
            return
        status, content = ANSWERS.get(name, (404, {}))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Rates:
    """Serves while its block runs; gives its address."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
