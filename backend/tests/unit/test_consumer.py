"""What the worker leaves out of its log, and how soon it finds Redis again."""

import logging
from itertools import islice
from typing import Any
from unittest.mock import Mock

import pytest
from celery.worker import request
from celery.worker.consumer import consumer
from kombu.message import Message
from kombu.utils.functional import fxrange

from app.tasks.consumer import _connect, tell_losses_once


@pytest.fixture(autouse=True)
def filters() -> None:
    tell_losses_once()


def test_a_lost_acknowledgement_repeats_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Celery would log it as critical, with a traceback."""
    channel = Mock()
    channel.basic_ack.side_effect = channel.basic_reject.side_effect = OSError
    log = logging.getLogger(request.__name__)
    Message(channel=channel, delivery_tag="1").ack_log_error(log, (OSError,))
    Message(channel=channel, delivery_tag="1").reject_log_error(log, (OSError,))
    assert channel.basic_ack.called and channel.basic_reject.called
    assert not caplog.records


def test_other_lines_stay(caplog: pytest.LogCaptureFixture) -> None:
    for module in (consumer, request):
        logging.getLogger(module.__name__).critical("Frequent restarts detected: 5")
        logging.getLogger(module.__name__).error("Something else")
    assert caplog.messages == ["Something else"] * 2


def test_accepted_work_does_not_wait_when_redis_is_back() -> None:
    """However long it was away, the worker asks again every few seconds."""
    asked: list[dict[str, Any]] = []
    _connect(lambda _, **options: asked.append(options), None)
    (given,) = asked
    first, step = given["interval_start"], given["interval_step"]
    pauses = fxrange(first, first + given["interval_max"], step, repeatlast=True)
    many = [*islice(pauses, 100)]  # as kombu counts them
    assert many[0] < 1 and max(many) < 3
