"""Several beats, of which one is active; and beat without Redis.
`tests/integration/test_probes.py` looks at the probes of one with Redis."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery
from app.infrastructure.redis.beat_lease import LEASE_SECONDS, BeatLease
from app.tasks.beat import LivingScheduler
from local.ports import free_port
from local.servers.redis import Redis
from tests.integration.beats import (
    ACTIVE,
    SENDING,
    STANDBY,
    BeatProcess,
    StartBeat,
    beats,
)
from tests.integration.responder import wait_until

HOURLY, DAILY = "hourly", "daily"
# A beat that is killed, hangs or loses Redis has a successor after the lease, and the
# second until the next look.
TAKEOVER_SECONDS = 5


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartBeat]:
    with beats(tmp_path) as start:
        yield start


@pytest.fixture
def celery_settings(redis_server: Redis) -> CelerySettings:
    url = SecretStr(redis_server.url(0))
    prefix = f"{uuid4().hex}:"
    return CelerySettings(broker_url=url, result_backend=url, key_prefix=prefix)


@pytest.fixture
def redis(redis_server: Redis) -> Iterator[Any]:
    with redis_server.connect() as client:
        yield client


def wait_touched(file: Path) -> float:
    """Wait until the file is touched again; returns its time."""
    before = file.stat().st_mtime if file.exists() else 0.0
    until = time.monotonic() + 15
    while not file.exists() or file.stat().st_mtime <= before:
        assert time.monotonic() < until, "the file is not touched"
        time.sleep(0.02)
    return file.stat().st_mtime


@pytest.mark.promise("docs/TASKS.md", "Beat touches it in each turn of its loop")
def test_beat_touches_the_file_while_it_works(start: StartBeat) -> None:
    file = start("alone", f"redis://127.0.0.1:{free_port()}/0").heartbeat
    times = [wait_touched(file) for _ in range(3)]
    pauses = [later - sooner for sooner, later in zip(times, times[1:], strict=False)]
    assert max(pauses) < 10  # a probe has patience for 30 s


@pytest.fixture
def own_login(redis_server: Redis, redis: Any) -> Iterator[str]:
    """The URL of a user whose connections a test may take away."""
    redis.acl_setuser(
        "second", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all"]
    )
    yield redis_server.url(0).replace("redis://", "redis://second:word@")
    redis.acl_deluser("second")


def takes_over(beat: BeatProcess, seen: int) -> None:
    """Wait until it sends, which it did not do before; ``seen`` of its log is old."""
    begun = time.monotonic()
    wait_until(lambda: beat.is_active and SENDING in beat.said()[seen:], 30)
    assert time.monotonic() - begun < 2 * TAKEOVER_SECONDS  # this machine may be slow
    new = beat.said()[seen:]
    assert SENDING not in new[: new.index(ACTIVE)]


def stands_by(beat: BeatProcess, seen: int) -> None:
    """Wait until it knows that it has lost the lease."""
    wait_until(lambda: STANDBY in beat.said()[seen:], 30)
    wait_touched(beat.heartbeat)
    new = beat.said()[seen:]
    assert SENDING not in new[new.index(STANDBY) :]


# Takes 20 s: a lease of five seconds ends three times.
def test_another_beat_takes_over_and_never_do_two_send(
    start: StartBeat, redis_server: Redis, redis: Any, own_login: str
) -> None:
    prefix = f"{uuid4().hex}:"
    first = start("first", redis_server.url(0), prefix)
    wait_until(lambda: SENDING in first.said(), 30)
    second = start("second", own_login, prefix)
    stands_by(second, 0)

    first.process.send_signal(signal.SIGSTOP)
    stopped, seen = len(first.said()), len(second.said())
    takes_over(second, seen)
    first.process.send_signal(signal.SIGCONT)
    stands_by(first, stopped)
    assert SENDING not in first.said()[stopped:]

    cut, seen = len(second.said()), len(first.said())
    redis.acl_setuser("second", enabled=False)
    redis.client_kill_filter(user="second")
    takes_over(first, seen)
    redis.acl_setuser("second", enabled=True)
    stands_by(second, cut)

    seen = len(second.said())
    first.kill()
    takes_over(second, seen)
    second.process.terminate()
    assert second.process.wait(15) == 0
    assert not redis.exists(f"{prefix}beat:lease"), "the next one need not wait"


def test_the_lease_belongs_to_one_until_it_ends_or_is_released(
    celery_settings: CelerySettings,
) -> None:
    first, second = (BeatLease(celery_settings, seconds=0.5) for _ in range(2))
    assert first.renew() and first.is_held()
    assert not second.renew() and not second.is_held()
    assert first.renew()
    wait_until(second.renew)
    assert second.is_held() and not first.is_held() and not first.renew()
    second.release()
    assert not second.is_held() and first.renew()


Schedule = Callable[[float], LivingScheduler]


@pytest.fixture
def schedule(celery_settings: CelerySettings) -> Iterator[Schedule]:
    """Makes a beat with an hourly and a daily task; it has the lease for so long."""
    app = create_celery(celery_settings)
    entry = {"task": "app.tasks.of.nobody", "options": {"queue": "low"}}
    app.conf.beat_schedule = {
        HOURLY: {**entry, "schedule": 3600},
        DAILY: {**entry, "schedule": 86400},
    }

    def new(seconds: float) -> LivingScheduler:
        app.conf.beat_lease = BeatLease(celery_settings, seconds)
        return LivingScheduler(app)

    yield new
    app.close()


def turn(scheduler: LivingScheduler) -> None:
    """As Celery's loop, until nothing more is due."""
    while scheduler.tick() == 0:
        pass


def test_beat_goes_on_where_another_one_stopped(
    schedule: Schedule, celery_settings: CelerySettings, redis: Any
) -> None:
    waiting = f"{celery_settings.key_prefix}low"
    earlier = BeatLease(celery_settings)
    ago = datetime.now(UTC) - timedelta(hours=2)
    earlier.note_run(HOURLY, ago)
    earlier.note_run(DAILY, ago)
    first = schedule(LEASE_SECONDS)
    turn(first)
    assert redis.llen(waiting) == 1, "the hourly one is due, the daily one is not"
    assert earlier.read_runs()[DAILY] == ago < earlier.read_runs()[HOURLY]
    turn(first)
    turn(schedule(LEASE_SECONDS))
    assert redis.llen(waiting) == 1, "the second one stands by"
    first.app.conf.beat_lease.release()
    turn(schedule(LEASE_SECONDS))
    assert redis.llen(waiting) == 1, "it was sent already"


def test_a_beat_that_stood_still_sends_only_what_no_other_has_sent(
    schedule: Schedule, celery_settings: CelerySettings, redis: Any
) -> None:
    waiting = f"{celery_settings.key_prefix}low"
    scheduler = schedule(0.5)
    lease: BeatLease = scheduler.app.conf.beat_lease
    turn(scheduler)
    entry = scheduler.schedule[HOURLY]
    wait_until(lambda: not lease.is_held())
    scheduler.apply_entry(scheduler.reserve(entry))
    assert redis.llen(waiting) == 0, "another one may have the lease"

    ago = datetime.now(UTC) - timedelta(hours=2)
    lease.note_run(HOURLY, ago)
    turn(scheduler)
    assert redis.llen(waiting) == 1
