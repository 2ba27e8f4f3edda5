"""What the worker leaves out of its log."""

import logging
from unittest.mock import Mock

import pytest
from celery.worker import request
from celery.worker.consumer import consumer
from kombu.message import Message

from app.tasks.consumer import tell_losses_once


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
