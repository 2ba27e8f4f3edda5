"""Publishes tasks: no arguments in logs, and complete telemetry even if it fails.

OpenTelemetry's instrumentation starts a span before publishing and ends it afterwards.
If publishing raises, that span never ends, and stays the parent of all later spans.
"""

from contextvars import copy_context
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import after_task_publish
from redis import CredentialProvider

# Data of clients stays out of logs and events.
HIDDEN = {"argsrepr": "()", "kwargsrepr": "{}"}


class TidyCelery(Celery):
    """Celery that hides the arguments of tasks, and ends the instrumentation's spans
    even if publishing fails.

    Its connections log in with ``broker_login``, if there is one.
    """

    broker_login: CredentialProvider | None = None

    def connection_for_read(self, url: Any = None, **options: Any) -> Any:
        """As Celery's."""
        return self._with_login(super().connection_for_read(url, **options))

    def connection_for_write(self, url: Any = None, **options: Any) -> Any:
        """As Celery's."""
        return self._with_login(super().connection_for_write(url, **options))

    def _with_login(self, connection: Any) -> Any:
        connection.credential_provider = self.broker_login
        return connection

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's; ``apply_async``, retries and beat call it too."""
        options["task_id"] = options.get("task_id") or str(uuid4())
        return copy_context().run(self._send, name, *args, **{**options, **HIDDEN})

    def _send(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return super().send_task(name, *args, **options)
        except BaseException:
            after_task_publish.send(sender=name, headers={"id": options["task_id"]})
            raise
