"""Advice on errors of Redis."""

from redis.exceptions import AuthenticationError

REFUSED = (
    "user or password is wrong: check CELERY_BROKER_URL, CELERY_RESULT_BACKEND and "
    "IDEMPOTENCY_REDIS_URL"
)


def advice(error: BaseException | None) -> str | None:
    """The cause, if retries alone cannot fix it; else None."""
    while error is not None:  # kombu's error wraps the one of Redis
        if isinstance(error, AuthenticationError):
            return REFUSED
        error = error.__cause__ or error.__context__
    return None
