"""What the AMQP link writes, without a broker."""

import logging
import math
import time
from typing import Any

import pytest

from app.rpc.amqp_link import ACK_DELAY, AmqpLink
from app.rpc.link import Broker
from app.rpc.message import Outcome, Request, Settlement
from app.rpc.topology import RequestQueue

BROKER = Broker("host", 5672, "user", "secret", "/", False, None, 10, "data@here:1")


class Channel:
    """Writes what it is told as lines onto its wire."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire

    def _write(self, line: str) -> None:
        self._wire.write(line.encode())

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self._write(f"ack {'up to ' if multiple else ''}{tag}\n")

    def basic_reject(self, tag: int, requeue: bool) -> None:
        self._write(f"{'requeue' if requeue else 'reject'} {tag}\n")


class Wire:
    """Connection and transport in one."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self._write: Any = lambda data: self.writes.append(bytes(data).decode())

    @property
    def transport(self) -> "Wire":
        return self

    def write(self, data: bytes) -> None:
        self._write(data)


@pytest.fixture
def link() -> AmqpLink:
    link = AmqpLink(BROKER, RequestQueue("work"), 8, lambda request: None)
    link._wire = Wire()
    link._channel = Channel(link._wire)
    link._unsettled = dict.fromkeys(range(1, 9))
    return link


def settle(link: AmqpLink, settlement: Settlement, *tags: int) -> list[Any]:
    return [
        (Request(b"", {}, None, None, tag, link), Outcome(settlement)) for tag in tags
    ]


def test_a_turn_is_one_write_and_neighbours_share_an_ack(link: AmqpLink) -> None:
    link.send(settle(link, Settlement.ACK, 2, 1, 3, 5, 7))
    assert link._wire.writes == ["ack up to 3\nack 5\nack 7\n"]
    link.send(settle(link, Settlement.ACK, 4, 6, 8))
    assert link._wire.writes[1:] == ["ack up to 8\n"]


def test_few_acks_wait_a_moment_for_others(link: AmqpLink) -> None:
    link.send(settle(link, Settlement.ACK, 1))
    due = link.flush_at
    assert time.monotonic() < due <= time.monotonic() + ACK_DELAY
    link.send(settle(link, Settlement.ACK, 2))
    assert (link._wire.writes, link.flush_at) == ([], due)
    link.flush()
    assert (link._wire.writes, link.flush_at) == (["ack up to 2\n"], math.inf)
    link.send(settle(link, Settlement.ACK, 3, 4, 5))
    assert link._wire.writes[1:] == ["ack up to 5\n"]
    assert link.flush_at == math.inf


def test_rejections_go_before_the_ack_that_passes_over_them(link: AmqpLink) -> None:
    link.send(
        [
            *settle(link, Settlement.ACK, 1),
            *settle(link, Settlement.REQUEUE, 2),
            *settle(link, Settlement.DEAD_LETTER, 3),
            *settle(link, Settlement.ACK, 4),
        ]
    )
    link.flush()
    assert link._wire.writes == ["requeue 2\nreject 3\n", "ack up to 4\n"]


def test_deliveries_of_an_old_link_are_not_settled(link: AmqpLink) -> None:
    old = AmqpLink(BROKER, RequestQueue("work"), 8, lambda request: None)
    link.send(settle(old, Settlement.ACK, 1, 2))
    assert link._wire.writes == []
    assert len(link._unsettled) == 8


def test_the_password_is_in_no_text(
    link: AmqpLink, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger(__name__).warning("%s %r", link, BROKER)
    assert "secret" not in caplog.text
    assert "'work' at amqp://user" in caplog.text
