"""What an error of Redis asks people to do."""

from redis.exceptions import AuthenticationError

REFUSED = (
    "user or password is wrong: check CELERY_BROKER_URL, CELERY_RESULT_BACKEND and "
    "IDEMPOTENCY_REDIS_URL"
)


def advice(error: BaseException | None) -> str | None:
    """What retries alone will not mend; None if they may."""
    while error is not None:  # kombu's own error hides the one of Redis
        if isinstance(error, AuthenticationError):
            return REFUSED
        error = error.__cause__ or error.__context__
    return None
