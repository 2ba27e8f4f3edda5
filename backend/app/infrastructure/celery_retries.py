"""What every task is by default: retried after what may pass, and not for ever."""

from typing import Any

from celery import Task
from celery.exceptions import SoftTimeLimitExceeded

from app.core.config import LONGEST_RETRY_DELAY
from app.core.exceptions import DeadlineExceeded, Unavailable


class RetriedTask(Task[Any, Any]):
    """The class of a worker's tasks. Each attribute is a default: options of
    ``@shared_task`` replace it, for one task."""

    autoretry_for = (Unavailable, DeadlineExceeded, SoftTimeLimitExceeded)
    retry_backoff = True
    # Longer delays outlive the visibility timeout: Redis would give the task out twice.
    retry_backoff_max = LONGEST_RETRY_DELAY
    default_retry_delay = 1  # of `retry()`, and after the loss of a worker's child
    max_retries = None  # those of the settings: see below
    from_config = (*Task.from_config, ("max_retries", "task_max_retries"))
