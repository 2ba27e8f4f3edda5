"""Old rows go some at a time."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Self

import pytest

from app.core.config import Settings
from app.tasks import maintenance
from app.tasks.scheduling import DAY, beat_schedule


@pytest.mark.parametrize(("days", "seconds"), [("1", DAY / 10), ("365", DAY)])
def test_rows_stay_at_most_a_tenth_or_a_day_beyond_their_retention(
    monkeypatch: pytest.MonkeyPatch, days: str, seconds: float
) -> None:
    monkeypatch.setenv("CELERY_LOG_RETENTION_DAYS", days)
    name = maintenance.prune_logs.name
    schedules = [
        each for each in beat_schedule(Settings()).values() if each["task"] == name
    ]
    assert [each["schedule"] for each in schedules] == [seconds]


def test_each_portion_is_a_transaction_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long one would hold its locks, and keep VACUUM from all tables."""
    done: list[Any] = []
    portions = iter([True, True, False])

    class Session:
        def __init__(self, _: Any) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def commit(self) -> None:
            done.append("commit")

    def delete_some(_: Any, age: timedelta) -> bool:
        done.append(age)
        return next(portions)

    resources = SimpleNamespace(engine=None)
    monkeypatch.setattr(maintenance, "get_worker_resources", lambda: resources)
    monkeypatch.setattr(maintenance, "Session", Session)
    maintenance.prune(delete_some, 1.5)
    age = timedelta(hours=36)
    assert done == [age, "commit", age, "commit", age]
