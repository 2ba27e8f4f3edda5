"""What the gateway says about its clients, and whom its limits count."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local import ports
from local.servers.nginx import Nginx, find_binary
from local.state import State

pytestmark = pytest.mark.skipif(find_binary() is None, reason="no nginx")


class _Mirror(BaseHTTPRequestHandler):
    """Answers with the headers that came."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def mirror() -> Iterator[int]:
    """The port of the API's stand-in."""
    server = ThreadingHTTPServer((ports.LOOPBACK, 0), _Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@contextmanager
def gateway(state: State, mirror: int, **settings: str) -> Iterator[str]:
    """A gateway's address."""
    nginx = Nginx(state, ports.free_port(), [mirror], settings=settings)
    nginx.start()
    try:
        yield nginx.url
    finally:
        nginx.stop()


def ask(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with ports.DIRECT.open(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_client_cannot_say_who_it_is(state: State, mirror: int) -> None:
    """The API would believe the first address that no proxy has."""
    with gateway(state, mirror) as url:
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
        status, body = ask(url, **forged)
    headers = json.loads(body)
    assert status == 200
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == ports.LOOPBACK


@pytest.mark.parametrize("shared", [True, False])
def test_clients_that_share_an_address_are_not_one_client(
    state: State, mirror: int, shared: bool
) -> None:
    network = "127.0.0.0/8" if shared else "192.0.2.0/24"
    strict = {"NGINX_REQUESTS_PER_SECOND": "1", "NGINX_BURST": "1"}
    with gateway(state, mirror, NGINX_SHARED_NETWORK=network, **strict) as url:
        statuses = [ask(url)[0] for _ in range(4)]
    assert (429 in statuses) is not shared
