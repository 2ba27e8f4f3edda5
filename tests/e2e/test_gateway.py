"""nginx by itself: limits, its own errors, headers."""

import re
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from local.ports import free_port
from local.registry import registered
from local.servers.nginx import TEMPLATE, find_binary
from local.stack import Stack
from local.state import State
from tests.e2e.client import PROCESS, RECORDS, Api, assert_problem, wait_for
from tests.e2e.gateway import Gateway, NewGateway, exchange

TLS_EXAMPLE = TEMPLATE.parent / "docs" / "nginx-tls.example.conf"

BODY = b'{"payload": 1}'


@pytest.mark.budget("NGINX_REQUESTS_PER_SECOND", "NGINX_BURST")
def test_a_flood_is_answered_429(new_gateway: NewGateway) -> None:
    strict = new_gateway(NGINX_REQUESTS_PER_SECOND="1", NGINX_BURST="5")
    answers = [strict.http.get("/health/live") for _ in range(10)]

    assert [answer.status_code for answer in answers[:6]] == [200] * 6
    for answer in answers[6:]:
        assert_problem(answer, 429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.budget("NGINX_CONNECTIONS")
def test_connections_of_one_address_are_bounded(new_gateway: NewGateway) -> None:
    """A connection counts as soon as its request's header has arrived."""
    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent.settimeout(30)
        port = silent.getsockname()[1]
        strict = new_gateway(port, NGINX_CONNECTIONS="2")
        address = (strict.http.base_url.host, strict.http.base_url.port)
        for _ in range(2):
            waiting = sockets.enter_context(socket.create_connection(address))
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            sockets.enter_context(silent.accept()[0])  # so nginx has counted it

        assert_problem(strict.http.get("/health/live"), 429, "rate_limited")


@pytest.mark.budget("NGINX_MAX_BODY")
def test_a_body_too_large_for_the_gateway(new_gateway: NewGateway) -> None:
    strict = new_gateway(NGINX_MAX_BODY="1k")
    assert strict.send(PROCESS, BODY.ljust(1024)).status_code != 413
    answer = strict.send(PROCESS, BODY.ljust(1025))
    assert_problem(answer, 413, "content_too_large")


def opened(
    sockets: ExitStack, gateway: Api, head: bytes, source: str = "127.0.0.1"
) -> socket.socket:
    """A connection that has sent the header of a request, and no body."""
    address = (gateway.http.base_url.host, gateway.http.base_url.port)
    connection = sockets.enter_context(
        socket.create_connection(address, 5, source_address=(source, 0))
    )
    connection.sendall(head)
    return connection


def refused(
    sockets: ExitStack, gateway: Api, head: bytes, source: str = "127.0.0.1"
) -> bytes | None:
    """The answer to one more request; None if it waits like those before it."""
    connection = opened(sockets, gateway, head, source)
    connection.settimeout(1)
    try:
        return connection.recv(100)
    except TimeoutError:
        return None


UPLOAD = b"POST /api/v1/data/process HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n"
LARGE = UPLOAD % b"Content-Length: 500000"


@pytest.mark.parametrize(
    "length", ["Content-Length: 30000", "Transfer-Encoding: chunked"]
)
@pytest.mark.budget("NGINX_LARGE_BODIES", "NGINX_LARGE_BODIES_OF_CLIENT")
def test_large_bodies_at_a_time_are_bounded(
    new_gateway: NewGateway, length: str
) -> None:
    strict = new_gateway(NGINX_LARGE_BODIES="3", NGINX_LARGE_BODIES_OF_CLIENT="2")
    head = UPLOAD % length.encode()
    with ExitStack() as sockets:
        for _ in range(2):
            opened(sockets, strict, head)
        own = wait_for(lambda: refused(sockets, strict, head), "its own limit")
        assert own.startswith(b"HTTP/1.1 429")
        opened(sockets, strict, head, source="127.0.0.2")  # the third of all
        other = wait_for(
            lambda: refused(sockets, strict, head, "127.0.0.3"), "the limit of all"
        )
        assert other.startswith(b"HTTP/1.1 429")
        # Small bodies pass, and requests without one.
        passed = 200 if "data" in registered() else 404
        assert strict.send(PROCESS, BODY).status_code == passed
        assert strict.http.get("/health/live").status_code == 200


@pytest.mark.budget("NGINX_POLLING")
def test_the_polling_of_one_address_is_bounded(new_gateway: NewGateway) -> None:
    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        strict = new_gateway(silent.getsockname()[1], NGINX_POLLING="1")
        poll = b"GET /api/v1/data/process-async/1?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n"
        opened(sockets, strict, poll)
        second = wait_for(lambda: refused(sockets, strict, poll), "the limit")
        assert second.startswith(b"HTTP/1.1 429")
        third = opened(sockets, strict, poll.replace(b"process-async/1", b"process"))
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):  # the API has it
            third.recv(100)


def test_an_ipv6_network_is_one_client(new_gateway: NewGateway, tmp_path: Path) -> None:
    """All addresses that one client can choose share its limits."""
    template = tmp_path / "nginx_config.conf"
    trusting = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;\n"
    template.write_text(trusting + TEMPLATE.read_text())
    strict = new_gateway(
        template=template, NGINX_REQUESTS_PER_SECOND="1", NGINX_BURST="1"
    )

    def status(address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return strict.http.get("/health/live", headers=headers).status_code

    assert [status("2001:db8::a"), status("2001:db8::b")] == [200, 200]
    assert status("2001:db8::ffff:0:0:1") == 429
    assert status("2001:db8:0:1::a") == 200
    assert [status("192.0.2.1"), status("192.0.2.2")] == [200, 200]


def test_the_api_is_down(orphan: Api) -> None:
    answer = orphan.send(PROCESS, BODY, **{"X-Request-ID": "my-id"})
    assert_problem(answer, 502, "api_unavailable")
    assert answer.headers["X-Request-ID"] == "my-id"
    assert int(answer.headers["Retry-After"]) > 0


def test_invalid_request_ids_are_not_repeated(orphan: Api) -> None:
    answer = orphan.http.get("/health", headers={"X-Request-ID": 'a", "b": "c'})
    assert_problem(answer, 502, "api_unavailable")
    assert len(answer.headers["X-Request-ID"]) == 32


def test_the_api_hangs(new_gateway: NewGateway, stack: Stack) -> None:
    impatient = new_gateway(NGINX_READ_TIMEOUT="500ms")
    stack.apis[0].pause()
    try:
        answer = impatient.send(PROCESS, BODY)
    finally:
        stack.apis[0].resume()
    assert_problem(answer, 504, "api_timeout")


def test_slow_clients_time_out(stack: Stack) -> None:
    """Every wait for a client has a limit; this test only checks that it is set."""
    assert stack.nginx is not None
    site = (stack.nginx.folder / "site.conf").read_text()
    for name in ("client_header_timeout", "client_body_timeout", "send_timeout"):
        assert re.search(rf"^    {name} \d+s;", site, re.MULTILINE)


def test_a_blocked_method(api: Api) -> None:
    answer = api.http.request("TRACE", "/health")
    assert_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_over_tls(state: State, stack: Stack, tmp_path: Path) -> None:
    """The example for TLS works with a certificate made for this test."""
    if find_binary() is None or shutil.which("openssl") is None:
        pytest.skip("there is no nginx, or no openssl")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.crt"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    secure, plain = free_port(), free_port()
    example = TLS_EXAMPLE.read_text().replace("/etc/nginx/tls", str(tmp_path))
    example = example.replace("listen 8080", f"listen 127.0.0.1:{plain}")
    template = tmp_path / "template"
    template.write_text(example + TEMPLATE.read_text())
    listen = {"NGINX_PORT": f"127.0.0.1:{secure} ssl"}
    ports = [api.port for api in stack.apis]
    gateway = Gateway(state, secure, ports, template, listen)
    gateway.start()
    try:
        url = f"https://127.0.0.1:{secure}/health/live"
        answer = httpx2.get(url, verify=False)
        moved = httpx2.get(f"http://127.0.0.1:{plain}/x?y=1")
    finally:
        gateway.stop()
    assert answer.status_code == 200
    assert answer.headers.get_list("Strict-Transport-Security") == ["max-age=31536000"]
    assert moved.status_code == 308
    assert moved.headers["Location"] == "https://127.0.0.1/x?y=1"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/" + "x" * 20_000, 414, "uri_too_long"),
        ("/%00", 400, "malformed_request"),
        ("/../x", 400, "malformed_request"),
    ],
)
def test_addresses_that_nginx_refuses(
    api: Api, path: str, status: int, code: str
) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = exchange(api, head.encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer and code.encode() in answer


def test_a_header_that_nginx_refuses(api: Api) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n" % (b"x" * 40_000)
    answer = exchange(api, head)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"header_too_large" in answer


def test_every_answer_has_the_headers_once(api: Api) -> None:
    for answer in (
        api.http.get("/health"),
        api.http.get("/nowhere"),
        api.send(PROCESS, b"{"),
    ):
        names = [name.lower() for name, _ in answer.headers.multi_items()]
        for name in ("x-request-id", "x-content-type-options"):
            assert names.count(name) == 1
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in answer.headers
        assert answer.headers["Server"] in ("nginx", "uvicorn")


def test_a_request_id_is_made_by_the_gateway(api: Api) -> None:
    first, second = api.http.get("/health/live"), api.http.get("/health/live")
    assert len(first.headers["X-Request-ID"]) == 32
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


def test_browsers_of_other_origins_get_no_permission(api: Api) -> None:
    headers = {"Origin": "https://evil.example"}
    answer = api.http.get("/health", headers=headers)
    assert not [n for n in answer.headers if n.lower().startswith("access-control")]
    preflight = api.http.options(
        RECORDS, headers={**headers, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 405
