"""TLS to Redis: who is verified, and with which files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.redis_url import RedisUrl
from local.certificates import ensure


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An authority, and certificates with their keys."""
    folder = tmp_path_factory.mktemp("tls")
    ensure(folder, lambda _: None)
    yield folder


@pytest.mark.parametrize(
    ("query", "reqs", "compares_names"),
    [
        ("", "required", True),
        ("?ssl_check_hostname=true", "required", True),
        ("?ssl_check_hostname=false", "required", False),
        ("?ssl_check_hostname=FALSE", "required", False),
        ("?ssl_cert_reqs=optional&ssl_check_hostname=false", "optional", False),
        ("?ssl_cert_reqs=none&ssl_check_hostname=true", "none", False),
    ],
)
def test_the_servers_name_is_compared_unless_told(
    query: str, reqs: str, compares_names: bool
) -> None:
    expected = {"ssl_cert_reqs": reqs, "ssl_check_hostname": compares_names}
    assert RedisUrl.read(f"rediss://cache{query}").tls == expected


def test_what_is_no_yes_or_no_is_refused() -> None:
    with pytest.raises(ValueError, match="^ssl_check_hostname must be one of "):
        RedisUrl.read("rediss://cache?ssl_check_hostname=maybe")


def test_a_certificate_that_fits_is_accepted(files: Path) -> None:
    query = f"ssl_ca_certs={files}/ca.crt&ssl_certfile={files}/redis.crt"
    RedisUrl.read(f"rediss://h?{query}&ssl_keyfile={files}/redis.key").check_files()


@pytest.mark.parametrize(
    ("certificate", "key"),
    [("redis.crt", "postgres.key"), ("redis.key", "redis.key"), ("redis.crt", None)],
)
def test_a_certificate_without_its_key_is_refused_at_the_start(
    files: Path, certificate: str, key: str | None
) -> None:
    given = [f"{files}/{name}" for name in (certificate, key) if name]
    names = ("ssl_certfile", "ssl_keyfile")
    query = "&".join(f"{n}={f}" for n, f in zip(names, given, strict=False))
    with pytest.raises(ValueError) as refused:
        RedisUrl.read(f"rediss://h?{query}").check_files()
    message = f"{', '.join(given)}: not a certificate (PEM), or not its key: "
    assert str(refused.value).startswith(message)


def test_the_login_may_be_at_any_of_the_sentinels() -> None:
    url = "sentinel://one:1;sentinel://u:p@two:2/0?master_name=m&sentinel_username=a"
    place = RedisUrl.read(f"{url}&sentinel_password=b")
    assert (place.username, place.password) == ("u", "p")
    assert place.sentinel_login == {"username": "a", "password": "b"}


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("socket_timeout=5", "socket_timeout"),
        ("max_connections=5&socket_timeout=", "max_connections, socket_timeout"),
        ("sesame=5", "an option"),  # perhaps the rest of a password
        ("socket_timeout=5&sesame=1", "an option"),
    ],
)
def test_options_are_named_unless_they_may_be_secret(query: str, shown: str) -> None:
    with pytest.raises(ValueError) as refused:
        RedisUrl.read(f"redis://h?{query}")
    begin = f"has {shown} after the ? that is not supported. Supported are "
    assert str(refused.value).startswith(begin)
