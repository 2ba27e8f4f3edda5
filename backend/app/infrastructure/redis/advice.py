"""Advice on errors of Redis."""

import ssl

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)

NAMES = "CELERY_BROKER_URL, CELERY_RESULT_BACKEND and IDEMPOTENCY_REDIS_URL"
REFUSED = f"user or password is wrong: check {NAMES}"
CLUSTER = (
    "this is a Redis Cluster, which Celery cannot use: name a Redis without cluster "
    f"mode in {NAMES}"
)

CERTIFICATE = (
    "the server's certificate is not trusted ({reason}): check the host's name and "
    f"ssl_ca_certs in {NAMES}"
)

# By Redis' code, with redis-py's type of it. Errors of scripts have no type on Redis 6.
ADVICE: dict[tuple[str, type[BaseException]], str] = {
    ("WRONGPASS", AuthenticationError): REFUSED,
    ("NOPERM", NoPermissionError): (
        "the user may not do this: give it all commands, keys and channels of its own "
        "(ACL SETUSER name ~* &* +@all -@admin -@dangerous +info), "
        f"or name another one in {NAMES}"
    ),
    ("OOM", OutOfMemoryError): (
        "Redis is full: raise its maxmemory, or see what fills it (docs/TASKS.md); "
        "accepted work is kept in PostgreSQL"
    ),
    ("READONLY", ReadOnlyError): (
        f"this Redis is a replica: name the primary in {NAMES}; during a failover this "
        "passes"
    ),
    (
        "MASTERDOWN",
        MasterDownError,
    ): "this Redis is a replica that has lost its primary",
    ("MOVED", AskError): CLUSTER,
    ("CROSSSLOT", ClusterCrossSlotError): CLUSTER,
    ("CLUSTERDOWN", ClusterError): CLUSTER,
}


def advice(error: BaseException | None) -> str | None:
    """The cause, if retries alone cannot fix it; else None."""
    while error is not None:  # kombu's error wraps the one of Redis
        if isinstance(error, ssl.SSLCertVerificationError):
            return CERTIFICATE.format(reason=error.verify_message)
        for (code, kind), text in ADVICE.items():
            if isinstance(error, kind) or f" -{code} " in str(error):
                return text
        error = error.__cause__ or error.__context__
    return None
