"""No worker receives a task that another one may still run, or will try again."""

import pytest
from pydantic import ValidationError

from app.core.redis_settings import LONGEST_RETRY_DELAY, CelerySettings
from app.tasks.data import _delay


def test_the_visibility_timeout_is_longer_than_a_run_and_a_delay() -> None:
    limit = 75
    soonest = limit + LONGEST_RETRY_DELAY + 1
    assert LONGEST_RETRY_DELAY == 30
    CelerySettings(task_time_limit_seconds=limit, visibility_timeout_seconds=soonest)
    with pytest.raises(ValidationError, match="VISIBILITY_TIMEOUT_SECONDS must be ab"):
        CelerySettings(
            task_time_limit_seconds=limit, visibility_timeout_seconds=soonest - 1
        )


def test_a_task_is_interrupted_before_it_is_killed() -> None:
    CelerySettings(task_soft_time_limit_seconds=74, task_time_limit_seconds=75)
    with pytest.raises(ValidationError, match="SOFT_TIME_LIMIT_SECONDS must be below"):
        CelerySettings(task_soft_time_limit_seconds=75, task_time_limit_seconds=75)


def test_a_retry_waits_no_longer_than_that() -> None:
    """However many are configured."""
    assert 0.5 <= _delay(0) <= 1
    assert LONGEST_RETRY_DELAY / 2 <= _delay(50) <= LONGEST_RETRY_DELAY
    assert len({_delay(50) for _ in range(10)}) > 1
