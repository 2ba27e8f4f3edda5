"""The account of events in `make chaos` finds what is missing: each way to be wrong,
one test."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tests.chaos import events
from tests.chaos.events import Logged
from tests.chaos.ledger import Row, Work
from tests.chaos.receiver import Receiver
from tests.chaos.record import Broken
from tests.chaos.streams import Listener, take_block

NOW = Work("c-1", later=False, task_id="a")
LATER = Work("c-2", later=True, task_id="b")
GONE = Work("c-3", later=False, task_id="c", deleted=True)
WORKS = [NOW, LATER, GONE]
ROWS = [Row("a", "c-1", "Success", {}), Row("b", "c-2", "Failure", {})]

LOG = [
    Logged(1, "b", "record.accepted"),
    Logged(2, "a", "record.succeeded"),
    Logged(3, "c", "record.succeeded"),
    Logged(4, "late", "chaos.late"),
    Logged(5, "c", "record.deleted"),
    Logged(6, "b", "record.failed"),
]
EFFECTS = [Logged(*each[:2]) for each in LOG if each.subject != "late"]


def test_a_log_of_all_changes_is_correct() -> None:
    assert events.audit_log(LOG, ROWS, WORKS) == []


@pytest.mark.parametrize("missing", [0, 1, 2, 4, 5])
def test_a_change_without_its_event_is_found(missing: int) -> None:
    log = [*LOG[:missing], *LOG[missing + 1 :]]
    assert len(events.audit_log(log, ROWS, WORKS)) == 1


@pytest.mark.parametrize(
    "extra", [Logged(9, "a", "record.deleted"), LOG[1]._replace(subject="x")]
)
def test_an_event_without_its_change_is_found(extra: Logged) -> None:
    assert len(events.audit_log([*LOG, extra], ROWS, WORKS)) == 1


def test_only_clients_delete_records() -> None:
    assert len(events.audit_log(LOG, ROWS, [NOW, LATER])) == 1


def test_one_effect_each_is_correct() -> None:
    assert events.audit_effects(LOG, EFFECTS) == []


@pytest.mark.parametrize(
    "effects",
    [
        EFFECTS[1:],
        [*EFFECTS, EFFECTS[-1]],
        [*EFFECTS, Logged(7, "b")],
        [EFFECTS[-1], *EFFECTS[:-1]],  # both events of one record
    ],
)
def test_every_wrong_effect_is_found(effects: list[Logged]) -> None:
    assert len(events.audit_effects(LOG, effects)) == 1


@pytest.mark.parametrize(
    ("start", "seen"), [(0, [1, 2, 3, 4, 5, 6]), (4, [5, 6]), (6, [])]
)
def test_who_saw_everything_since_their_start_saw_enough(
    start: int, seen: list[int]
) -> None:
    assert events.audit_streams(LOG, [Listener("SSE", start, seen)]) == []


@pytest.mark.parametrize(
    ("start", "seen"),
    [
        (None, []),
        (4, [6]),
        (4, [5]),
        (4, [5, 5, 6]),
        (4, [6, 5]),
        (4, [4, 5, 6]),
        (4, [5, 6, 7]),
    ],
)
def test_whatever_a_client_saw_wrongly_is_found(
    start: int | None, seen: list[int]
) -> None:
    assert len(events.audit_streams(LOG, [Listener("SSE", start, seen)])) == 1


def test_a_client_notes_events_and_where_its_stream_begins() -> None:
    listener = Listener("SSE")
    blocks = [
        "id: 4\nretry: 700",
        ": ping",
        'event: record.deleted\ndata: {"sequence": "5"}\nid: 5',
        'event: stream.closed\ndata: {"code": "time_limit"}\nretry: 0',
        "id: 5\nretry: 700",
    ]
    for block in blocks:
        take_block(listener, f"{block}\n\n")
    assert (listener.start, listener.seen, listener.breaches) == (4, [5], [])
    take_block(listener, "id: 4\nretry: 700\n\n")
    take_block(listener, 'event: record.failed\ndata: {"sequence": "5"}\nid: 6\n\n')
    assert len(listener.breaches) == 2


@pytest.mark.parametrize(
    ("received", "count"),
    [
        ([1, 5], 0),
        ([1, 1, 5, 1], 0),  # at least once
        ([1], 1),
        ([5], 1),
        ([5, 1], 1),
        ([1, 3, 5], 1),
    ],
)
def test_events_of_a_webhook(received: list[int], count: int) -> None:
    assert len(events.audit_webhook(LOG, received)) == count


def test_a_receiver_takes_what_is_signed() -> None:
    receiver, signer = Receiver(), Webhook("whsec_c2VjcmV0")
    receiver.accept(signer)
    now, body = datetime.now(UTC), '{"id": "e-1", "sequence": "7"}'
    headers = {
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign("e-1", now, body),
    }
    receiver.take(body.encode(), headers)
    assert (receiver.received, receiver.breaches) == ([7], [])
    receiver.take(body.replace("7", "8").encode(), headers)
    assert (receiver.received, len(receiver.breaches)) == ([7], 1)


def test_the_relay_ends_where_the_log_ends() -> None:
    assert events.audit_position(LOG, 6) == events.audit_position([], 0) == []
    assert len(events.audit_position(LOG, 5)) == 1


def test_late_events_and_late_successors_are_found() -> None:
    fault = Broken("kill", False, 0, back=5, worked=5, delivered=15, takeover=5.0)
    assert fault.judge([]) == []
    fault.delivered, fault.takeover = 15.1, 5.1
    assert len(fault.judge([])) == 2
