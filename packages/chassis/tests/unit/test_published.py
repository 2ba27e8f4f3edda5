"""Reading published events: little of them, and only what is one."""

import json

import pytest

from chassis.events.event import Event, InvalidEvent, event_json
from chassis.events.published import PublishedEvent
from chassis.events.topology import PREVIOUS


def text(data: str, **more: str) -> str:
    attributes = {"id": "1", "source": "/x", "type": "a.b", "subject": "s"} | more
    return event_json(sequence=2**60, data=data, time="2026-01-01", **attributes)


@pytest.mark.parametrize(
    "data", ["null", '{"sequence":"7","subject":"other","data":1}', '"\\",\\"data\\":"']
)
@pytest.mark.parametrize("owner", ["alice", ',"data":', '","data":{}}', "ä\\"])
def test_an_event_is_read_without_its_data(data: str, owner: str) -> None:
    body = text(data, owner=owner).encode()
    event = PublishedEvent.read(body, {PREVIOUS: "41"})
    whole = Event.parse(body)
    assert (event.sequence, event.type, event.subject, event.owner) == (
        *(whole.sequence, whole.type, whole.subject),
        owner,
    )
    assert event.previous == 41 and event.text == body.decode()


def test_without_the_one_before_it_is_not_known() -> None:
    assert PublishedEvent.read(text("1").encode(), {}).previous is None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"1", b"\xff", b'{"sequence":"x","type":"a","subject":"s"}']
)
def test_other_messages_are_none(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        PublishedEvent.read(body, {})


def test_nor_is_one_after_something_invalid() -> None:
    with pytest.raises(InvalidEvent):
        PublishedEvent.read(text("1").encode(), {PREVIOUS: "x"})


def test_an_event_is_a_cloud_event() -> None:
    event = json.loads(text('{"a":1}', owner="alice"))
    assert event.pop("time") == "2026-01-01"
    assert event == {
        "specversion": "1.0",
        "id": "1",
        "source": "/x",
        "type": "a.b",
        "subject": "s",
        "owner": "alice",
        "sequence": str(2**60),
        "datacontenttype": "application/json",
        "data": {"a": 1},
    }
