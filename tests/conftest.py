"""Servers for the tests of the whole system, with short times."""

import os

pytest_plugins = ["local.pytest_plugin"]

os.environ.update(
    # Receivers of webhooks are on this machine.
    WEBHOOKS_ALLOWED_NETWORKS="127.0.0.1",
    CELERY_TASK_SOFT_TIME_LIMIT_SECONDS="8",
    CELERY_TASK_TIME_LIMIT_SECONDS="10",
    CELERY_VISIBILITY_TIMEOUT_SECONDS="45",
    CELERY_WORKER_GRACE_SECONDS="2",
    CELERY_SWEEP_EVERY_SECONDS="1",
    CELERY_SWEEP_AFTER_SECONDS="3",
    RPC_TIMEOUT_SECONDS="6",
)
