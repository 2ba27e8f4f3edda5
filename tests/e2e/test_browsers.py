"""Browsers and HTTP clients before the gateway, and proxies between them."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from httpx2 import Response

from local.ports import free_port
from local.process import ProcessFailed
from local.stack import Stack
from tests.e2e.client import PROCESS, Api, assert_problem
from tests.e2e.gateway import NewGateway, exchange

ORIGIN = "https://app.example"
HEAD = b"Host: x\r\nOrigin: https://app.example\r\nConnection: close\r\n"


@pytest.fixture
def lonely(new_gateway: NewGateway) -> Api:
    """A gateway before nothing, for pages of several origins."""
    origins = [ORIGIN, "https://Other.example:443", "http://localhost:3000"]
    settings = {"CORS_ORIGINS": json.dumps(origins), "CORS_CREDENTIALS": "true"}
    return new_gateway(free_port(), NGINX_MAX_BODY="1k", **settings)


def test_pages_may_read_the_answers_of_nginx(lonely: Api) -> None:
    def assert_readable(answer: Response, status: int) -> None:
        assert_problem(answer, status)
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"

    http = lonely.http
    http.headers["Origin"] = ORIGIN
    assert_readable(http.get("/health"), 502)
    assert_readable(http.post(PROCESS, content=b"x" * 2000), 413)
    assert_readable(http.request("TRACE", "/"), 405)
    unknown = b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: rot13\r\n\r\n"
    assert b"Access-Control-Allow-Origin: https://app" in exchange(lonely, unknown)
    assert_readable(http.get("/", headers={"X-Long": "x" * 20_000}), 431)


def test_pages_may_read_what_uvicorn_answers(new_gateway: NewGateway) -> None:
    """nginx passes on methods that uvicorn does not know."""
    gateway = new_gateway(CORS_ORIGINS=f'["{ORIGIN}"]')
    answer = gateway.http.request("FOO", "/", headers={"Origin": ORIGIN})
    assert_problem(answer, 400, "malformed_request")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Vary"] == "Origin"


def test_pages_learn_when_to_come_back(new_gateway: NewGateway) -> None:
    limits = {"NGINX_REQUESTS_PER_SECOND": "1", "NGINX_BURST": "1"}
    strict = new_gateway(free_port(), CORS_ORIGINS='["*"]', **limits)
    strict.http.headers["Origin"] = ORIGIN
    answers = [strict.http.get("/") for _ in range(5)]
    refused = [each for each in answers if each.status_code == 429]
    assert refused and all(each.status_code in (429, 502) for each in answers)
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "origins",
    [
        {
            "https://other.example": True,
            "HTTPS://Other.example:443": True,
            "http://other.example": False,
            "http://localhost:3000": True,
            "http://localhost": False,
            "https://app.example.evil": False,
            "https://evil.example": False,
            "https://app": False,
            "null": False,
            'a","https://app.example': False,
            ".*": False,
        }
    ],
)
def test_origins_are_those_of_the_api(lonely: Api, origins: dict[str, bool]) -> None:
    for origin, is_allowed in origins.items():
        answer = lonely.http.get("/", headers={"Origin": origin})
        given = answer.headers.get("Access-Control-Allow-Origin")
        assert given == (origin if is_allowed else None)
        assert answer.headers["Vary"] == "Origin"


def test_without_cors_nginx_allows_nothing(orphan: Api) -> None:
    answer = orphan.http.get("/", headers={"Origin": ORIGIN})
    assert "Vary" not in answer.headers
    assert not [n for n in answer.headers if n.lower().startswith("access-control")]


MALFORMED = [
    (b"G\0T / HTTP/1.1\r\n", 400),
    (b"get / HTTP/1.1\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\n", 400),
    (b"GET /\x01 HTTP/1.1\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: y\r\n", 400),
    (b"GET / HTTP/1.1\r\nno colon\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: \0\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: ten\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: rot13\r\n", 501),
    (b"GET / HTTP/3.0\r\n", 505),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n", 400),
]


def test_what_nginx_cannot_read(orphan: Api) -> None:
    for line, status in MALFORMED:
        answer = exchange(orphan, line + HEAD + b"\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (line, answer)
        assert b"Content-Type: application/problem+json" in head
        assert json.loads(body)["request_id"].encode() in head


def test_long_addresses_may_be_read_too(api: Api) -> None:
    """The API answers: nginx has not read the origin when it gives up."""
    assert_problem(api.http.get("/" + "x" * 9000), 414, "uri_too_long")


def test_malformed_requests_at_the_port_of_the_api(stack: Stack) -> None:
    """main.py starts uvicorn with the protocol that answers problems."""
    direct = Api(f"http://127.0.0.1:{stack.apis[0].port}")
    try:
        answer = exchange(direct, b"GET / x\r\n\r\n")
    finally:
        direct.close()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"malformed_request" in answer


class Upstream:
    """Shows what nginx sends to the API."""

    def __init__(self, listener: socket.socket, gateway: Api) -> None:
        self._listener = listener
        self._gateway = gateway

    def headers(self, **sent: str) -> dict[str, str]:
        """The header that arrives when a client sends these."""
        lines = [f"{k.replace('_', '-')}: {v}" for k, v in sent.items()]
        head = "\r\n".join(["GET / HTTP/1.1", "Host: inner", *lines, "", ""])
        http = self._gateway.http
        address = (http.base_url.host, http.base_url.port)
        with socket.create_connection(address, 10) as client:
            client.sendall(head.encode())
            with self._listener.accept()[0] as passed:
                passed.settimeout(10)
                text = b""
                while b"\r\n\r\n" not in text:
                    text += passed.recv(65536)
        pairs = (line.split(": ", 1) for line in text.decode().split("\r\n")[1:-2])
        return {name.lower(): value for name, value in pairs}


@pytest.fixture
def new_upstream(new_gateway: NewGateway) -> Iterator[object]:
    with ExitStack() as opened:

        def new(proxies: str) -> Upstream:
            listener = socket.create_server(("127.0.0.1", 0))
            opened.enter_context(listener)
            listener.settimeout(10)
            port = listener.getsockname()[1]
            return Upstream(listener, new_gateway(port, NGINX_TRUSTED_PROXIES=proxies))

        yield new


REPORTED = {
    "X_Forwarded_For": "203.0.113.7",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "api.example.org",
    "X_Forwarded_Port": "8443",
}


def test_a_trusted_proxy_is_believed(new_upstream: object) -> None:
    assert callable(new_upstream)
    upstream: Upstream = new_upstream("10.0.0.0/8, 127.0.0.0/8")
    got = upstream.headers(**REPORTED)
    assert got["x-real-ip"] == "203.0.113.7"
    assert got["x-forwarded-proto"] == "https"
    assert got["host"] == got["x-forwarded-host"] == "api.example.org"
    assert got["x-forwarded-port"] == "8443"
    got = upstream.headers(Forwarded='for=203.0.113.7;proto=HTTPS;host="a.example"')
    assert (got["x-forwarded-proto"], got["host"]) == ("https", "a.example")
    assert "forwarded" not in got
    assert upstream.headers(X_Forwarded_Proto="wss")["x-forwarded-proto"] == "https"
    assert upstream.headers(X_Forwarded_Proto="x")["x-forwarded-proto"] == "http"
    got = upstream.headers()
    assert (got["x-forwarded-proto"], got["host"]) == ("http", "inner")


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"])
def test_nobody_else_is_believed(new_upstream: object, proxies: str) -> None:
    assert callable(new_upstream)
    upstream: Upstream = new_upstream(proxies)
    got = upstream.headers(**REPORTED, Forwarded="proto=https;host=evil")
    assert got["x-real-ip"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http"
    assert got["host"] == got["x-forwarded-host"] == "inner"
    assert "x-forwarded-port" not in got and "forwarded" not in got


def test_behind_tls_browsers_are_told_to_stay_there(new_gateway: NewGateway) -> None:
    behind = new_gateway(NGINX_TRUSTED_PROXIES="127.0.0.1")
    behind.http.headers["X-Forwarded-Proto"] = "https"
    for method, path in (("GET", "/nowhere"), ("GET", "/health/"), ("TRACE", "/")):
        answer = behind.http.request(method, path)
        assert answer.headers.get_list("Strict-Transport-Security") == [
            "max-age=31536000"
        ]
        assert "Location" not in answer.headers


def test_a_proxy_that_is_none_is_named(new_gateway: NewGateway) -> None:
    with pytest.raises(ProcessFailed, match="NGINX_TRUSTED_PROXIES: write addresses"):
        new_gateway(NGINX_TRUSTED_PROXIES="lb.example")
