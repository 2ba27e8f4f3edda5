"""Where webhooks may go."""

from ipaddress import ip_address, ip_network

import httpx2
import pytest
from hypothesis import given, settings, strategies

from app.core.webhook_settings import WebhookSettings
from app.core.webhook_targets import (
    MAX_URL_LENGTH,
    TargetRefused,
    check_url,
    literal_address,
    why_refused,
)

LONGEST_HOST = ".".join(["a" * 63] * 3 + ["a" * 61])  # 253 characters


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared"),
        ("100.100.100.200", "shared"),  # metadata
        ("169.254.169.254", "link-local"),  # metadata
        ("168.63.129.16", "Azure"),
        ("192.0.0.192", ""),  # metadata; private, says Python 3.11.2
        ("192.88.99.1", "6to4"),
        ("198.18.0.1", "private"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", ""),
        ("255.255.255.255", ""),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", ""),
        ("::ffff:8.8.8.8", ""),
        ("64:ff9b::10.0.0.1", ""),
        ("64:ff9b::8.8.8.8", ""),
        ("64:ff9b:1::10.0.0.1", ""),
        ("2002:7f00:1::", ""),  # 6to4
        ("2001:0:4136:e378::", ""),  # Teredo
        ("2001:db8::1", ""),
        ("3fff::1", ""),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),  # metadata
        ("fe80::1", "link-local"),
        ("fec0::1", ""),
        ("ff02::1", "multicast"),
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str, kind: str) -> None:
    found = why_refused(ip_address(address), ())
    assert found is not None and kind in found


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "2606:4700:4700::1111"],
)
def test_public_addresses_are_not(address: str) -> None:
    assert why_refused(ip_address(address), ()) is None


def test_the_operator_allows_networks() -> None:
    allowed = WebhookSettings(allowed_networks="10.1.0.0/16, fd00::/8").networks
    assert why_refused(ip_address("10.1.2.3"), allowed) is None
    assert why_refused(ip_address("fd00::1"), allowed) is None
    assert why_refused(ip_address("10.2.0.1"), allowed) == "private"
    assert why_refused(ip_address("::ffff:10.1.2.3"), allowed) is not None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com", "example.com"),
        ("https://EXAMPLE.com.:8443/a?b=c@d", "example.com"),
        ("https://example.com:80/", "example.com"),
        ("https://example.com:1024/", "example.com"),
        ("https://example.com:65535/", "example.com"),
        ("https://example.com/a@b/c", "example.com"),
        (f"https://{LONGEST_HOST}/", LONGEST_HOST),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://8.8.8.8/", "8.8.8.8"),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111"),
    ],
)
def test_a_good_url(url: str, host: str) -> None:
    assert check_url(url, False, ()) == host


@pytest.mark.promise("docs/WEBHOOKS.md", "Users, passwords and fragments are refused.")
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("//example.com/", "https"),
        ("example.com", "https"),
        ("https:///path", "host"),
        ("https://user@example.com/", "user"),
        ("https://user:word@example.com/", "user"),
        ("https://@example.com/", "user"),
        ("https://@example.com/?next=https://a/", "user"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://example.com/a b", "visible"),
        ("https://example.com\\@127.0.0.1/", "visible"),
        ("https://bücher.example/", "xn--"),
        ("https://example.com:22/", "port"),
        ("https://example.com:1023/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:x/", "no URL"),
        ("https://[::1", "no URL"),
        ("https://127.0.0.1:8443/", "127.0.0.1 is not a public address: loopback"),
        ("https://127.0.0.1./", "loopback"),
        ("https://2130706433/", "loopback"),
        ("https://0x7f.1/", "loopback"),
        ("https://017700000001/", "loopback"),
        ("https://127.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:10.0.0.1]/", "not a public"),
        ("https://[fe80::1%25eth0]/", "link-local"),
        ("https://" + "a" * 254 + "/", "253|no URL"),
    ],
)
def test_a_bad_url(url: str, why: str) -> None:
    with pytest.raises(TargetRefused, match=why):
        check_url(url, False, ())


@pytest.mark.budget("webhook_targets.MAX_URL_LENGTH")
def test_a_long_url() -> None:
    longest = "https://example.com/".ljust(MAX_URL_LENGTH, "x")
    assert check_url(longest, False, ())
    with pytest.raises(TargetRefused, match="2048"):
        check_url(longest + "x", False, ())


def test_http_where_it_is_allowed() -> None:
    assert check_url("http://example.com/", True, ()) == "example.com"
    with pytest.raises(TargetRefused, match="loopback"):
        check_url("http://127.0.0.1/", True, ())
    allowed = [ip_network("127.0.0.0/8")]
    assert check_url("http://127.0.0.1:8000/", True, allowed) == "127.0.0.1"


@settings(max_examples=500, deadline=None)
@given(
    strategies.one_of(
        strategies.text(max_size=40),
        strategies.text("/:@[]%.#?\\-x0123456789abcdef", max_size=40).map(
            lambda rest: f"https://{rest}"
        ),
    )
)
def test_any_text_is_refused_or_names_its_host(url: str) -> None:
    """And the host is that of the client which sends."""
    try:
        host = check_url(url, False, ())
    except TargetRefused:
        return
    parsed = httpx2.URL(url)
    assert host == parsed.raw_host.decode().lower().rstrip(".")
    address = literal_address(host)
    assert address is None or why_refused(address, ()) is None
