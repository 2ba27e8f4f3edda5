"""The defaults of every task: it retries temporary failures, a limited number of
times."""

from typing import Any

from celery import Task
from celery.exceptions import SoftTimeLimitExceeded

from app.core.exceptions import DeadlineExceeded, Unavailable
from app.core.redis_settings import LONGEST_RETRY_DELAY


class RetriedTask(Task[Any, Any]):
    """The class of a worker's tasks. Each attribute is a default; options of
    ``@shared_task`` override it for one task."""

    autoretry_for = (Unavailable, DeadlineExceeded, SoftTimeLimitExceeded)
    retry_backoff = True
    # A longer delay outlives the visibility timeout: Redis would deliver the task
    # twice.
    retry_backoff_max = LONGEST_RETRY_DELAY
    default_retry_delay = 1  # for `retry()`, and after a worker's child is lost
    max_retries = None  # from the settings: see below
    from_config = (*Task.from_config, ("max_retries", "task_max_retries"))
