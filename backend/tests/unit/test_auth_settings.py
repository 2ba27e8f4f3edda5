"""Which URLs of an identity provider are safe, and which lists are accepted."""

import pytest
from pydantic import ValidationError

from app.core.auth_settings import AuthSettings, discovery_url, is_safe_url
from app.core.browser_settings import check_proxies, normal_origin
from app.core.event_settings import EventLogSettings
from app.core.webhook_settings import WebhookSettings
from chassis.environment import Group


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        *(("https://id.example", True), ("https://id.example:8443/a", True)),
        *(("http://localhost:9000", True), ("http://id.localhost", True)),
        *(("http://127.0.0.2", True), ("http://[::1]:9000", True)),
        *(("http://id.example", False), ("http://10.0.0.1", False)),
        *(("http://notlocalhost", False), ("http://localhost.example", False)),
        *(("ftp://localhost", False), ("ftp://id.example", False)),
        *(("https://id.example/a b", False), ("https://id.example/a\x7f", False)),
        *(("https://id.example:x", False), ("https://[::1", False)),
        *(("https://", False), ("https:///a", False), ("id.example", False)),
    ],
    ids=lambda value: repr(value).replace("\\", ""),
)
def test_nobody_on_the_way_can_change_the_answer(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe


@pytest.mark.parametrize("issuer", ["https://id.example/a", "https://id.example/a//"])
def test_a_provider_describes_itself_below_its_issuer(issuer: str) -> None:
    wanted = "https://id.example/a/.well-known/openid-configuration"
    assert discovery_url(issuer) == wanted


def test_a_fragment_is_refused() -> None:
    with pytest.raises(ValidationError, match="as the provider does"):
        AuthSettings(issuer="https://id.example/#a", audience="kit")


def test_audiences_have_commas_between_them() -> None:
    named = AuthSettings(issuer="https://id.example", audience=" a ,, b,")
    assert named.audiences == ["a", "b"]
    assert AuthSettings().audiences == []


@pytest.mark.parametrize(
    "values", [{"audience": "kit"}, {"client_id": "ui"}, {"roles_claim": "roles"}]
)
def test_each_word_about_tokens_needs_an_issuer(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="AUTH_ISSUER: it is missing"):
        AuthSettings.model_validate(values)


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://app.example:65535", "https://app.example:65535"),
        ("https://app.example:65536", None),
        ("https://[::1]:8080", "https://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("capacitor://localhost:80", "capacitor://localhost:80"),
        ("https://app.example/", None),
    ],
)
def test_an_origin_is_compared_as_browsers_write_it(
    origin: str, normal: str | None
) -> None:
    assert normal_origin(origin) == normal


@pytest.mark.parametrize("proxies", ["", "*", "*, 10.0.0.0/8 ,", "::1,192.0.2.7"])
def test_proxies_stay_as_they_are_written(proxies: str) -> None:
    assert check_proxies(proxies) == proxies


@pytest.mark.parametrize("proxies", ["*,nginx", "10.0.0.1/8", "10.0.0.1 10.0.0.2"])
def test_a_proxy_that_would_never_match_is_refused(proxies: str) -> None:
    with pytest.raises(ValueError, match="list addresses and networks"):
        check_proxies(proxies)


def test_networks_of_webhooks_may_end_with_a_comma() -> None:
    found = WebhookSettings(allowed_networks="10.1.0.0/16, 192.0.2.7,").networks
    assert list(map(str, found)) == ["10.1.0.0/16", "192.0.2.7/32"]
    assert WebhookSettings().networks == ()
    with pytest.raises(ValidationError, match="list networks with commas"):
        WebhookSettings(allowed_networks="10.1.2.3/16")


@pytest.mark.parametrize(
    ("group", "name", "empty"),
    [
        (AuthSettings, "algorithms", []),  # every token would be refused
        (AuthSettings, "audience_claim", ""),
        (EventLogSettings, "source", ""),  # CloudEvents require one
        (EventLogSettings, "exchange", ""),  # RabbitMQ's own: it reaches queues by name
    ],
)
def test_what_nothing_works_without_cannot_be_empty(
    group: type[Group], name: str, empty: object
) -> None:
    with pytest.raises(ValidationError, match=f"{name}\\n.*at least 1"):
        group.model_validate({name: empty})
