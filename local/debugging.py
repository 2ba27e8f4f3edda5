"""For `debug`: each of our processes listens for a debugger (docs/DEBUGGING.md)."""

from local.apps import App
from local.stack import Say, Stack, announced

# The API's; the worker's and those of the services follow. An editor is told these.
FIRST_PORT = 5678

# Nothing may be given up, taken over or sent again while somebody reads a variable.
# With threads, one debugger sees every task.
PATIENCE = {
    "RPC_TIMEOUT_SECONDS": "3600",
    "RABBITMQ_HEARTBEAT_SECONDS": "3600",
    "IDEMPOTENCY_LEASE_SECONDS": "7200",
    "NGINX_READ_TIMEOUT": "7200s",
    "CELERY_WORKER_POOL": "threads",
    "CELERY_SWEEP_AFTER_SECONDS": "7200",
    "CELERY_VISIBILITY_TIMEOUT_SECONDS": "7200",
    "WEB_CONCURRENCY": "1",
}


def listen(stack: Stack, say: Say) -> None:
    """Give each process its port, before it starts."""
    apps: list[App] = [*stack.apis, stack.worker, *stack.services]
    for port, app in enumerate(apps, start=FIRST_PORT):
        app.debug_port = announced(f"the debugger of {app.name}", port, say)
