"""How the relay divides what it publishes."""

from datetime import UTC, datetime
from itertools import chain
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.repositories.event_repository import StoredEvent
from app.services.relay_service import different_subjects


def event(sequence: int, subject: str) -> StoredEvent:
    now, nobody = datetime.now(UTC), (None, None, None, None)
    return StoredEvent(sequence, uuid4(), "record.tested", subject, *nobody, now, "1")


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "It sends no event of a subject before RabbitMQ has confirmed the earlier "
    "ones of that subject.",
)
@given(st.lists(st.sampled_from("abcdef")))
def test_no_two_events_of_a_subject_are_on_their_way_at_once(
    subjects: list[str],
) -> None:
    """And no more parts are made than that needs."""
    events = [event(number, subject) for number, subject in enumerate(subjects)]
    parts = list(different_subjects(events))
    assert list(chain.from_iterable(parts)) == events
    for part in parts:
        assert len({each.subject for each in part}) == len(part) > 0
    for part, following in zip(parts, parts[1:], strict=False):
        assert following[0].subject in {each.subject for each in part}
