"""Promises that the gateway's configuration keeps, whatever else changes in it."""

import json
import re
from collections.abc import Iterator

import pytest

from local.apps import ROOT

TEMPLATE = re.sub(r"^\s*#.*$", "", (ROOT / "nginx_config.conf").read_text(), flags=re.M)
TEXT = re.sub(r"\$\{(\w+)\}", r"$\1", TEMPLATE)  # braces are blocks alone
LOCATION = re.compile(r"location [^{]*\{([^{}]*)\}")


def values(directive: str, text: str = TEXT) -> Iterator[str]:
    """What each of these directives says."""
    for found in re.finditer(rf"(?:^|[\s;{{]){directive}\s+([^;]*);", text):
        yield found[1].strip()


def headers() -> dict[str, str]:
    """The headers that the API gets from the gateway."""
    return dict(each.split(None, 1) for each in values("proxy_set_header"))


def test_every_directive_is_found() -> None:
    assert [*values("proxy_http_version")] == ["1.1"]
    assert len([*values("error_page")]) > 10


@pytest.mark.promise("ARCHITECTURE.md", "nginx never retries a POST that it has sent.")
def test_a_post_that_was_sent_is_never_sent_again() -> None:
    for value in values("proxy_next_upstream"):
        assert "non_idempotent" not in value


def test_the_api_gets_whole_requests() -> None:
    """A slow client costs it nothing."""
    assert "off" not in values("proxy_request_buffering")
    for name in ("client_header_timeout", "client_body_timeout", "send_timeout"):
        (value,) = values(name)
        assert 0 < int(value.removesuffix("s")) <= 10, name


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "nginx trusts forwarded headers from `NGINX_TRUSTED_PROXIES` only, the API from "
    "`FORWARDED_ALLOW_IPS` only.",
)
def test_a_client_cannot_choose_its_address() -> None:
    """The main file names the proxies that are trusted."""
    sent = headers()
    assert sent["X-Forwarded-For"] == sent["X-Real-IP"] == "$remote_addr"
    assert sent["Forwarded"] == '""'
    for name in ("Proto", "Host", "Port"):
        assert sent[f"X-Forwarded-{name}"].startswith("$client_")
    assert sent["Host"] == "$client_host"
    assert not [*values("set_real_ip_from"), *values("real_ip_header")]
    for variable in ("client_scheme", "client_host", "client_port"):
        (table,) = re.findall(
            rf'map "\$is_trusted_proxy\|[^"]*" \${variable} {{(.*?)\n}}', TEXT, re.S
        )
        for row in table.strip().splitlines():
            assert re.match(r'\s*("~\*?\^1|default \S*;)', row), row


def test_no_location_drops_what_all_share() -> None:
    """One `proxy_set_header` or `add_header` in a location replaces all of them."""
    locations = LOCATION.findall(TEXT)
    assert len(locations) == 3
    for inside in locations:
        for directive in ("proxy_set_header", "add_header", "limit_conn", "limit_req"):
            assert not [*values(directive, inside)], inside


def test_nginx_closes_an_idle_connection_before_the_api_does() -> None:
    """Otherwise a request may meet a connection that the API just closed: a 502."""
    (upstream,) = re.findall(r"upstream api \{(.*?)\}", TEXT, re.S)
    (own,) = values("keepalive_timeout", upstream)
    main = (ROOT / "backend/main.py").read_text()
    (theirs,) = re.findall(r"timeout_keep_alive=(\d+)", main)
    assert int(own.removesuffix("s")) + 5 <= int(theirs)
    assert [*values("keepalive", upstream)]


def test_answers_wait_in_the_api_and_streams_nowhere() -> None:
    assert [*values("proxy_max_temp_file_size")] == ["0"]
    buffered = [
        found for found in LOCATION.findall(TEXT) if "proxy_buffering off" in found
    ]
    assert len(buffered) == 1
    assert "location ~ ^/api/v1/events/(stream|ws)$ {" in TEXT


def test_limits_are_on_for_every_request() -> None:
    server = TEXT.partition("\nserver {")[2]
    zones = {each.split()[0] for each in values("limit_conn", server)}
    assert zones == {"connections", "polling", "large_bodies", "large_bodies_of_client"}
    assert [*values("limit_conn_status")] == [*values("limit_req_status")] == ["429"]
    (requests,) = values("limit_req", server)
    assert requests.startswith("zone=requests ")


def test_a_limit_of_one_client_does_not_count_the_others() -> None:
    zones = [*values("limit_conn_zone"), *values("limit_req_zone")]
    for key, zone in (each.split()[:2] for each in zones):
        table = re.search(rf"map \S+ \{key} {{(.*?)\n}}", TEXT, re.S)
        is_of_client = key == "$client" or bool(table and "$client;" in table[1])
        # The only one for all of them together.
        assert is_of_client == (not zone.startswith("zone=large_bodies:")), zone


def test_waiting_for_the_api_has_limits() -> None:
    """nginx's own are a minute: an API that is away would hold as many connections."""
    for name, longest in (("proxy_connect_timeout", 2), ("proxy_send_timeout", 10)):
        (value,) = values(name)
        assert 0 < int(value.removesuffix("s")) <= longest, name
    assert [*values("proxy_read_timeout")][0] == "$NGINX_READ_TIMEOUT"


def test_a_silent_stream_outlives_two_signs_of_life() -> None:
    (stream,) = (each for each in LOCATION.findall(TEXT) if "proxy_buffering" in each)
    (longest,) = values("proxy_read_timeout", stream)
    streams = (ROOT / "backend/app/api/event_streams.py").read_text()
    (ping,) = re.findall(r"^PING = ([\d.]+)$", streams, re.M)
    assert int(longest.removesuffix("s")) > 2 * float(ping)


def test_only_streams_of_events_leave_http() -> None:
    (table,) = re.findall(r'map "\$uri\|\$http_upgrade" \S+ {(.*?)\n}', TEXT, re.S)
    first, rest = table.strip().splitlines()
    assert first.startswith('"~*^/api/v1/events/ws\\|websocket$"')
    assert rest.split() == ["default", '"";']


def test_errors_have_all_headers_too() -> None:
    """Without `always`, nginx adds them to answers below 400 alone."""
    added = [*values("add_header")]
    assert len(added) > 10
    assert [each for each in added if not each.endswith(" always")] == []


def test_each_error_of_the_gateway_has_its_page() -> None:
    pages = dict(
        re.findall(r"location = /\.problem/(\d+) {\s*(.*?)\s*\n    }", TEXT, re.S)
    )
    used = {each.rpartition("/")[2] for each in values("error_page")}
    assert used == set(pages)
    for status, page in pages.items():
        inside = re.fullmatch(rf"internal;\s*return {status} '(.*)';", page)
        assert inside, status  # nobody may ask for it
        problem = json.loads(inside[1])
        assert problem["status"] == int(status)
        assert problem["type"] == f"urn:problem:{problem['code']}"
        assert problem["title"] and problem["detail"]
        assert problem["request_id"] == "$request_name"
