"""Whether idempotency keys have their own Redis."""

import pytest

from app.core.config import Settings
from app.infrastructure.redis.client import is_same_server
from app.resources import warn_of_shared_redis


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("redis://redis:6379/0", True),
        ("redis://redis/1", True),
        ("rediss://user:x7Gk@REDIS:6379/2", True),
        ("redis://redis:6380/0", False),
        ("redis://redis-keys:6379/0", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_one_server_by_two_urls(other: str, same: bool) -> None:
    assert is_same_server("redis://redis:6379/0", other) is same


def test_sockets_are_distinguished() -> None:
    assert is_same_server("unix:///run/a.sock", "unix:///run/a.sock?db=1")
    assert not is_same_server("unix:///run/a.sock", "unix:///run/b.sock")


@pytest.mark.parametrize(
    ("url", "lines"),
    [(None, 1), ("redis://redis:6379/1", 1), ("redis://redis-keys:6379/0", 0)],
)
def test_a_shared_redis_is_logged_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str | None,
    lines: int,
) -> None:
    if url:
        monkeypatch.setenv("IDEMPOTENCY_REDIS_URL", url)
    warn_of_shared_redis(Settings())
    assert len([m for m in caplog.messages if "share one Redis" in m]) == lines
