"""A worker for the test service, with the tasks of `tests/own_tasks`: `celery -A
tests.echo_worker`. With STUCK its main thread waits for ever when it should stop; its
children take SLOW_START seconds longer to start."""

import os
import threading
import time
from pathlib import Path

from celery.signals import worker_process_init, worker_shutting_down

from app import tasks
from app.core import services

services.SERVICES = (services.Service("echo", "echo_queue"),)
tasks.__path__.append(str(Path(__file__).with_name("own_tasks")))

from app.worker import celery  # noqa: E402

if "STUCK" in os.environ:
    worker_shutting_down.connect(lambda **_: threading.Event().wait(), weak=False)

if seconds := float(os.environ.get("SLOW_START", 0)):
    worker_process_init.connect(lambda **_: time.sleep(seconds), weak=False)

__all__ = ["celery"]
