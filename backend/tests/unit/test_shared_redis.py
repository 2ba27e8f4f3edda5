"""Whether idempotency keys have their own Redis."""

import pytest

from app.core.config import Settings
from app.resources import warn_of_shared_redis


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Keys have a small Redis of their own, so they cannot use up the memory for "
    "tasks.",
)
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
