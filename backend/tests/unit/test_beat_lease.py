"""How long a beat believes that it has the lease, with a Redis of the test's own."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.beat import Scheduler
from pydantic import SecretStr
from redis import retry as redis_retry
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import LockNotOwnedError

from app.core.redis_settings import CelerySettings
from app.infrastructure.redis import beat_lease
from app.infrastructure.redis.beat_lease import LEASE_SECONDS, BeatLease
from app.tasks.beat import LOOK_SECONDS, LivingScheduler


class Redis:
    """Its lock, and the clock: an answer takes three seconds."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    is_lost = False

    def reacquire(self) -> None:
        self.now += 3
        if self.is_lost:
            raise LockNotOwnedError("lost")

    def acquire(self) -> bool:
        return False


def test_a_lease_counts_from_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may have begun to count long before its answer arrives."""
    redis: Any = Redis()
    monkeypatch.setattr(beat_lease, "time", redis)
    lease = BeatLease(CelerySettings(), 4.0)
    lease._lock = redis
    assert not lease.is_held()
    assert lease.renew()
    redis.now = 103.9
    assert lease.is_held()
    redis.now = 104.0
    assert not lease.is_held()


def test_a_lease_that_another_one_has_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis: Any = Redis()
    monkeypatch.setattr(beat_lease, "time", redis)
    lease = BeatLease(CelerySettings(), 60.0)
    lease._lock = redis
    assert lease.renew()
    redis.is_lost = True
    assert not lease.renew() and not lease.is_held()


def test_no_pause_outlives_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py's own retries would wait for seconds."""
    pauses: list[float] = []
    monkeypatch.setattr(redis_retry, "sleep", pauses.append)
    away = SecretStr("redis://127.0.0.1:1/0")
    with pytest.raises(ConnectionLost):
        BeatLease(CelerySettings(broker_url=away)).renew()
    assert not any(pauses)


def test_a_beat_that_lost_redis_reads_what_others_have_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another beat may have been active meanwhile."""
    answers: list[Any] = [True, ConnectionLost("gone"), True]
    beat: Any = object.__new__(LivingScheduler)
    beat.app = SimpleNamespace(conf=SimpleNamespace(heartbeat_file=None))
    beat._is_active = None

    def renew() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    resumed: list[bool] = []
    beat._lease = SimpleNamespace(renew=renew)
    monkeypatch.setattr(beat, "_resume", lambda: resumed.append(True))
    monkeypatch.setattr(Scheduler, "tick", lambda *_: 7.0)
    assert [beat.tick() for _ in range(3)] == [7.0, LOOK_SECONDS, 7.0]
    assert len(resumed) == 2


def test_redis_that_hangs_does_not_outlast_the_lease() -> None:
    """A command is tried twice, and each time may wait for a connection and for the
    answer: another beat would take over meanwhile, and send everything again."""
    lease = BeatLease(CelerySettings())
    options = lease._redis.connection_pool.connection_kwargs
    waits = options["socket_connect_timeout"], options["socket_timeout"]
    assert 2 * sum(waits) <= LEASE_SECONDS
