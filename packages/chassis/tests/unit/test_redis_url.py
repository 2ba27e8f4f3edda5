"""URLs of Redis, as people write them and as providers give them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from chassis.redis_url import RedisUrl
from chassis.settings import RpcSettings

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
UNVERIFIED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


@pytest.mark.parametrize(
    ("url", "kombu_url", "parts"),
    [
        ("redis://cache", "redis://cache:6379/0", {"hosts": (("cache", 6379),)}),
        ("redis://cache:6380/2", "redis://cache:6380/2", {"database": 2}),
        ("redis://cache?db=3", "redis://cache:6379/3", {"database": 3}),
        ("redis://[::1]:6380", "redis://[::1]:6380/0", {"hosts": (("::1", 6380),)}),
        ("redis:///1", "redis://localhost:6379/1", {"hosts": (("localhost", 6379),)}),
        (
            "redis://shop:p%40s%2Fs@cache/0",
            "redis://shop:p%40s%2Fs@cache:6379/0",
            {"username": "shop", "password": "p@s/s"},
        ),
        (
            "redis://:a,b;c:d+e@cache",
            "redis://:a%2Cb%3Bc%3Ad%2Be@cache:6379/0",
            {"username": None, "password": "a,b;c:d+e"},
        ),
        ("valkey://cache", "redis://cache:6379/0", {"tls": None}),
        ("rediss://cache", "rediss://cache:6379/0", {"tls": VERIFIED}),
        ("REDISS://cache", "rediss://cache:6379/0", {"tls": VERIFIED}),
        ("valkeys://cache:1", "rediss://cache:1/0", {"tls": VERIFIED}),
        ("redis://cache?ssl=true", "rediss://cache:6379/0", {"tls": VERIFIED}),
        (
            "unix:///run/r.sock?db=1",
            "redis+socket:///run/r.sock?virtual_host=1",
            {"socket": "/run/r.sock", "database": 1, "hosts": ()},
        ),
        (
            "redis+socket://u:p%40@/run/r.sock?virtual_host=1",
            "redis+socket://u:p%40@/run/r.sock?virtual_host=1",
            {"username": "u", "password": "p@"},
        ),
        (
            "sentinel://:pw@one:1;sentinel://two/2?master_name=main",
            "sentinel://:pw@one:1/2;sentinel://:pw@two:26379/2",
            {"master_name": "main", "password": "pw", "tls": None},
        ),
        (
            "sentinel://one,two:2/0?master_name=m&ssl=true&sentinel_password=p%40",
            "sentinel://one:26379/0;sentinel://two:2/0",
            {"tls": VERIFIED, "sentinel_login": {"password": "p@"}},
        ),
    ],
)
def test_a_url_is_read(url: str, kombu_url: str, parts: dict[str, Any]) -> None:
    place = RedisUrl.read(url)
    assert place.kombu_url == kombu_url
    assert {name: getattr(place, name) for name in parts} == parts


@pytest.mark.parametrize(
    ("spelling", "tls"),
    [
        ("required", VERIFIED),
        ("CERT_REQUIRED", VERIFIED),
        ("optional", {**VERIFIED, "ssl_cert_reqs": "optional"}),
        ("CERT_OPTIONAL", {**VERIFIED, "ssl_cert_reqs": "optional"}),
        ("none", UNVERIFIED),
        ("CERT_NONE", UNVERIFIED),
        ("None", UNVERIFIED),
    ],
)
def test_every_spelling_of_verification(spelling: str, tls: dict[str, Any]) -> None:
    assert RedisUrl.read(f"rediss://cache?ssl_cert_reqs={spelling}").tls == tls


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://cache", "must begin with one of redis, rediss,"),
        ("cache:6379", "must begin with one of"),
        ("redis+cluster://cache", "Redis Cluster does not work"),
        ("redis://one:1,two:2/0", "several hosts: write sentinel://"),
        ("redis://one/0;redis://two/0", "several hosts: write sentinel://"),
        ("redis://cache:0", "a port is a number from 1 to 65535"),
        ("redis://cache/main", "must be the number of a database"),
        ("redis://cache:65536", "no valid host and port"),
        ("redis://:sesame/x@cache", "/ or \\? in the password must be percent-encoded"),
        ("redis://:sesame?x@cache", "/ or \\? in the password must be percent-encoded"),
        ("redis://:sesame#x@cache", "# as %23"),
        ("redis://:sesame x@cache", "space"),
        ("redis://cache?socket_timeout=5", "has socket_timeout after the \\?"),
        (
            "redis://cache?ssl_cert_reqs=none",
            "ssl_cert_reqs needs TLS: write rediss://",
        ),
        ("rediss://cache?ssl_cert_reqs=maybe", "ssl_cert_reqs must be one of required"),
        ("rediss://cache?ssl=false", "contradicts rediss://"),
        ("redis://cache?master_name=m", "master_name has no meaning for redis://"),
        ("sentinel://one/0", "add \\?master_name=NAME"),
        ("sentinel://one?master_name=m&ssl_ca_certs=/ca", "add ssl=true"),
        ("unix://", "write a socket as unix:///"),
        ("unix://host/run/r.sock", "write a socket as unix:///"),
        ("unix:///run/r.sock?ssl=true", "ssl has no meaning for a socket"),
    ],
)
def test_what_cannot_work_is_refused_by_name(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        RedisUrl.read(url)
    assert "sesame" not in str(refused.value)


def test_files_of_certificates_are_checked_at_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    url = SecretStr(f"rediss://cache?ssl_ca_certs={file}")
    RedisUrl.read(url.get_secret_value())  # elsewhere it may be there
    with pytest.raises(ValidationError, match="ca.pem cannot be read: No such file"):
        RpcSettings(broker_url=url)
    file.write_text("no certificate")
    with pytest.raises(ValidationError, match="ca.pem: not a certificate"):
        RpcSettings(broker_url=url)


@pytest.mark.parametrize("scheme", ["http", "amqpx", "redis+cluster"])
def test_another_broker_is_refused(scheme: str) -> None:
    with pytest.raises(ValidationError, match="must begin with amqp://, amqps://"):
        RpcSettings(broker_url=SecretStr(f"{scheme}://cache"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("redis://redis:6379/0", True),
        ("redis://redis/1", True),
        ("rediss://user:x7Gk@REDIS:6379/2", True),
        ("redis://redis:6380/0", False),
        ("redis://redis-keys:6379/0", False),
        ("unix:///run/redis.sock", False),
        ("sentinel://redis:6379?master_name=main", False),
    ],
)
def test_one_server_by_two_urls(other: str, same: bool) -> None:
    redis = RedisUrl.read("redis://redis:6379/0")
    assert redis.is_same_server(RedisUrl.read(other)) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("unix:///run/a.sock", "unix:///run/a.sock?db=1", True),
        ("unix:///run/a.sock", "unix:///run/b.sock", False),
        ("sentinel://a,b?master_name=m", "sentinel://b,c?master_name=m", True),
        ("sentinel://a,b?master_name=m", "sentinel://a,b?master_name=n", False),
    ],
)
def test_sockets_and_sentinels_are_distinguished(
    one: str, other: str, same: bool
) -> None:
    assert RedisUrl.read(one).is_same_server(RedisUrl.read(other)) is same


def test_no_secret_is_shown() -> None:
    url = "sentinel://:sesame@a?master_name=m&sentinel_password=sesame"
    assert "sesame" not in repr(RedisUrl.read(url))


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("redis://cache/3", {"db": 3}),
        ("redis://:pw@cache", {"db": 0, "password": "pw"}),
        ("redis://u:p%40@cache", {"db": 0, "username": "u", "password": "p@"}),
    ],
)
def test_the_login_of_a_client(url: str, login: dict[str, Any]) -> None:
    assert RedisUrl.read(url).login == login


def test_sentinels_have_the_tls_of_the_primary() -> None:
    url = "sentinel://a?master_name=m&sentinel_password=p"
    assert RedisUrl.read(url).sentinel_options == {"password": "p"}
    tls = {"ssl": True, **VERIFIED, "password": "p"}
    assert RedisUrl.read(f"{url}&ssl=true").sentinel_options == tls
