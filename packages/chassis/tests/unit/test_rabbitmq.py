"""URLs and host lists of RabbitMQ, as users write them."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from chassis.amqp_url import parse_hosts, parse_url
from chassis.rabbitmq import RabbitMQServer, rabbitmq_server
from chassis.settings import RabbitMQSettings, RpcSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("a", 5672)]),
        ("a,b", [("a", 5672), ("b", 5672)]),
        ("a:1; b:2", [("a", 1), ("b", 2)]),
        ("10.0.0.1", [("10.0.0.1", 5672)]),
        ("::1", [("::1", 5672)]),
        ("[::1]", [("::1", 5672)]),
        ("[fe80::1]:1,b", [("fe80::1", 1), ("b", 5672)]),
        ("a:", [("a", 5672)]),
        ("my_host.local", [("my_host.local", 5672)]),
    ],
)
def test_hosts(text: str, expected: list[tuple[str, int]]) -> None:
    assert list(parse_hosts(text, 5672)) == expected


@pytest.mark.parametrize(
    "text", ["", "a,", "a b", "a:port", "a:70000", "a:0", "[::1", "http://a", "u@a"]
)
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(ValidationError, match="host"):
        RabbitMQSettings(host=text)


@pytest.mark.parametrize(
    ("url", "hosts", "login", "vhost"),
    [
        ("amqp://h", [("h", 5672)], ("guest", "guest"), "/"),
        ("amqps://h", [("h", 5671)], ("guest", "guest"), "/"),
        ("AMQPS://h", [("h", 5671)], ("guest", "guest"), "/"),
        ("amqp://h/", [("h", 5672)], ("guest", "guest"), "/"),
        ("amqp://h//", [("h", 5672)], ("guest", "guest"), "/"),
        ("amqp://h/%2f", [("h", 5672)], ("guest", "guest"), "/"),
        ("amqp://h/%2Fkit", [("h", 5672)], ("guest", "guest"), "/kit"),
        ("amqp://h/k%C3%BCche", [("h", 5672)], ("guest", "guest"), "küche"),
        ("amqp://u:p@h:1/v", [("h", 1)], ("u", "p"), "v"),
        ("amqp://u@h", [("h", 5672)], ("u", ""), "/"),
        ("amqp://us%40er:p%3A%2F%25+x@h", [("h", 5672)], ("us@er", "p:/%+x"), "/"),
        ("amqp://u:p@[::1]:1/v", [("::1", 1)], ("u", "p"), "v"),
        ("amqp://u:p@[::1]", [("::1", 5672)], ("u", "p"), "/"),
        ("amqp://u:p@a:1,b/v", [("a", 1), ("b", 5672)], ("u", "p"), "v"),
        ("amqp://u:p@a;b:2/v", [("a", 5672), ("b", 2)], ("u", "p"), "v"),
        ("amqp://u:p@a/v;amqp://u:p@b/v", [("a", 5672), ("b", 5672)], ("u", "p"), "v"),
        (
            "amqps://u:p@a/v,amqps://u:p@b/v",
            [("a", 5671), ("b", 5671)],
            ("u", "p"),
            "v",
        ),
    ],
)
def test_urls(
    url: str, hosts: list[tuple[str, int]], login: tuple[str, str], vhost: str
) -> None:
    parsed = parse_url(url)
    assert list(parsed.hosts) == hosts
    assert (parsed.user, parsed.password, parsed.vhost) == (*login, vhost)
    assert parsed.is_tls is url.lower().startswith("amqps")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("amqp://", "hosts"),
        ("amqp://u:sesame@", "hosts"),
        ("amqp://u:sesame@h:x", "hosts"),
        ("amqp://u:sesame@h:99999", "port"),
        ("amqp://u:ses@me@h", "%40"),
        ("amqp://u:ses:ame@h", "%3A"),
        ("amqp://u:sesame#1@h", "%23"),
        ("amqp://u:sesame%@h", "%25"),
        ("amqp://u:sesame%ff@h", "UTF-8"),
        ("amqp://u:sesame@h/a/b", "%2F"),
        ("amqp://u:sesame@a/v;amqp://u:other@b/v", "hosts only"),
        ("amqp://h?heartbeat=0", "heartbeat must be seconds"),
        ("amqp://h?heartbeat=soon", "heartbeat must be seconds"),
        ("amqp://h?connection_timeout=-1", "connection_timeout must be milliseconds"),
        ("amqp://h?channel_max=3", "channel_max is unknown"),
        ("amqp://h?heartbeat=1&heartbeat=2", "heartbeat is there twice"),
        ("amqp://h?verify=verify_none", "verify needs amqps"),
        ("amqps://h?verify=maybe", "verify must be verify_peer or verify_none"),
        ("amqps://h?cacertfile=/gone.pem", "/gone.pem cannot be read"),
        ("amqp://h?cacertfile=/gone.pem", "cacertfile needs amqps"),
        ("amqp://h?certfile=/gone.pem", "certfile needs amqps"),
        ("amqp://h?keyfile=/gone.pem", "keyfile needs amqps"),
        ("amqps://h?certfile=/gone.pem", "/gone.pem cannot be read"),
        ("amqps://h?keyfile=/gone.pem", "/gone.pem cannot be read"),
        ("amqp://h?auth_mechanism=external", "auth_mechanism=external needs amqps"),
        ("amqp://h?heartbeat=", "heartbeat must be seconds"),
        ("amqp://u:sesame@h/a/", "%2F"),
        ("amqps://h?cacertfile=" + __file__, "no certificate"),
        ("amqps://h?auth_mechanism=gssapi", "auth_mechanism must be plain or external"),
        ("sqs://u:sesame@h", "must begin with amqp://"),
    ],
)
def test_urls_that_are_refused_by_name(url: str, fault: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RpcSettings(broker_url=SecretStr(url))
    assert fault in str(refused.value)
    assert "sesame" not in str(refused.value)


def server(url: str | None = None, **settings: object) -> RabbitMQServer:
    rabbitmq = RabbitMQSettings(**settings)  # type: ignore[arg-type]
    found = rabbitmq_server(
        rabbitmq, RpcSettings(broker_url=SecretStr(url) if url else None)
    )
    assert found
    return found


def test_words_of_a_url_replace_variables() -> None:
    plain = server("amqp://h", heartbeat_seconds=7)
    assert (plain.heartbeat, plain.connect_timeout, plain.mechanism) == (7, 3, "PLAIN")
    words = "heartbeat=9&connection_timeout=1500&verify=verify_none"
    full = server(
        f"amqps://h?{words}&server_name_indication=x&auth_mechanism=external",
        heartbeat_seconds=7,
    )
    assert (full.heartbeat, full.connect_timeout) == (9, 1.5)
    assert (full.verifies, full.server_name) == (False, "x")
    assert full.mechanism == "EXTERNAL"


def test_the_certificate_of_a_url_comes_with_its_own_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which may be in the same file; the other key would not fit."""
    for check in ("check_certificates", "check_readable"):
        for place in ("amqp_url", "settings"):
            monkeypatch.setattr(f"chassis.{place}.{check}", lambda *_: None)
    variables = {"ssl_cert_file": "own.crt", "ssl_key_file": "own.key"}
    by_url = server("amqps://h?certfile=both.pem", **variables)
    assert (by_url.cert_file, by_url.key_file) == ("both.pem", None)
    by_variables = server("amqps://h", **variables)
    assert (by_variables.cert_file, by_variables.key_file) == ("own.crt", "own.key")


def test_several_nodes_get_less_time_each() -> None:
    assert server(host="a,b").connect_timeout == 1


def test_the_management_api_follows_the_broker() -> None:
    assert server(host="a").management_urls == ("http://a:15672",)
    assert server(host="::1").management_urls == ("http://[::1]:15672",)
    assert server("amqp://b:1,c").management_urls == (
        "http://b:15672",
        "http://c:15672",
    )
    assert server("amqps://b").management_urls == ("https://b:15671",)
    named = server("amqps://b", management_url="https://c/api-root/")
    assert named.management_urls == ("https://c/api-root",)


def test_tls_has_its_own_default_port() -> None:
    assert server(host="a", ssl=True).hosts == (("a", 5671),)
    assert server(host="a", ssl=True, port=5672).hosts == (("a", 5672),)


@pytest.mark.parametrize("url", ["rabbit:15672", "https://", "http://u:p@h", "ftp://h"])
def test_a_management_url_that_is_none(url: str) -> None:
    with pytest.raises(ValidationError, match="must"):
        RabbitMQSettings(management_url=url)


def test_certificates_are_checked_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="gone.pem cannot be read"):
        RabbitMQSettings(ssl_ca_file=str(tmp_path / "gone.pem"))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(ValidationError, match="RABBITMQ_SSL.*no certificate"):
        RabbitMQSettings(ssl_ca_file=str(wrong))
    with pytest.raises(ValidationError, match="key"):
        RabbitMQSettings(ssl_key_file=str(wrong))


def test_a_password_is_not_shown() -> None:
    assert "sesame" not in repr(server("amqp://u:sesame@h"))


def test_messages_name_the_variables_that_count() -> None:
    own, by_url = server(vhost=""), server("amqp://h")
    login = "RABBITMQ_USER, RABBITMQ_PASSWORD"
    assert (own.credentials_from, own.monitoring_from) == (login, login)
    assert (own.vhost, own.vhost_from) == ("/", "RABBITMQ_VHOST")
    found = {by_url.credentials_from, by_url.monitoring_from, by_url.vhost_from}
    assert found == {"RPC_BROKER_URL"}
    watched = server("amqp://h", monitoring_user="m")
    names = "RABBITMQ_MONITORING_USER, RABBITMQ_MONITORING_PASSWORD"
    assert (watched.monitoring_from, watched.credentials_from) == (
        names,
        "RPC_BROKER_URL",
    )


def test_a_key_of_a_url_comes_without_the_variables_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for check in ("check_certificates", "check_readable"):
        for place in ("amqp_url", "settings"):
            monkeypatch.setattr(f"chassis.{place}.{check}", lambda *_: None)
    found = server("amqps://h?keyfile=url.key", ssl_cert_file="own.crt")
    assert (found.cert_file, found.key_file) == (None, "url.key")
