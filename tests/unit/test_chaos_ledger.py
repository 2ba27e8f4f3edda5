"""The account of `make chaos` finds what is missing: each way to be wrong, one test."""

from pathlib import Path
from typing import Any

import pytest

from tests.chaos import ledger, logs
from tests.chaos.held import Held, grown
from tests.chaos.ledger import Attempt, Row, Work
from tests.chaos.record import Broken

OUTCOME = {"output": "1-c"}


def at_once(**more: Any) -> Work:
    answer = {"task_id": "-", "outcome": OUTCOME}
    work = Work("c-1", later=False, task_id="a", answer=answer, statuses=[200])
    return change(work, **more)


def accepted(**more: Any) -> Work:
    work = Work("c-1", later=True, task_id="a", answer={"outcome": None})
    return change(work, statuses=[202], **more)


def change(work: Work, **more: Any) -> Work:
    for name, value in more.items():
        setattr(work, name, value)
    return work


def row(**more: Any) -> Row:
    return Row("a", "c-1", "Success", OUTCOME)._replace(**more)


@pytest.mark.parametrize("work", [at_once(), accepted(), at_once(key="k")])
def test_answered_work_stored_once_is_correct(work: Work) -> None:
    assert ledger.audit([work], [row()]) == []


def test_unanswered_work_may_be_stored_or_not() -> None:
    work = at_once(answer=None, task_id="", statuses=[504])
    assert ledger.audit([work], []) == []
    assert ledger.audit([work], [row()]) == []


def test_refused_work_fails_with_the_reason_of_the_service() -> None:
    outcome = {"status": "failure", "code": "unsortable_list"}
    stored = row(payload=["c-1", 1], status="Failure", outcome=outcome)
    assert ledger.audit([accepted(refused=True)], [stored]) == []


def test_deleted_work_is_not_stored() -> None:
    assert ledger.audit([at_once(deleted=True)], []) == []


WRONG = {
    "lost": (at_once(), []),
    "not deleted": (at_once(deleted=True), [row()]),
    "stored 2 times": (at_once(), [row(), row(task_id="b")]),
    "not final": (accepted(), [row(status="Processing", outcome=None)]),
    "given up": (accepted(), [row(status="Failure", outcome={"code": "lost"})]),
    "something else": (accepted(), [row(outcome={"output": "x"})]),
    "another outcome": (at_once(), [row(outcome={**OUTCOME, "more": 1})]),
    "another id": (at_once(), [row(task_id="b")]),
    "without a request": (at_once(), [row(), row(payload="c-2")]),
    "twice for a key": (
        at_once(key="k", answer=None, statuses=[503, 503]),
        [row(), row(task_id="b")],
    ),
    "more often than sent": (
        at_once(answer=None, statuses=[504]),
        [row(), row(task_id="b")],
    ),
    "not as refused": (accepted(refused=True), [row(payload=["c-1", 1])]),
}


@pytest.mark.parametrize(("work", "rows"), WRONG.values(), ids=WRONG.keys())
def test_every_fault_is_found(work: Work, rows: list[Row]) -> None:
    assert len(ledger.audit([work], rows)) == 1


@pytest.mark.parametrize(
    ("letters", "count"),
    [
        ([("rejected", "p-1")], 0),
        ([("rejected", "p-1"), ("rejected", "p-1")], 0),  # at least once
        ([("rejected", "p-1"), ("rejected", "p-2")], 0),  # not confirmed, and there
        ([("rejected", "p-1"), ("expired", '{"payload": "c-1"}')], 0),
        ([], 1),
        ([("rejected", "p-1"), ("delivery_limit", '{"payload": "c-1"}')], 1),
        ([("rejected", "p-1"), ("expired", ledger.UNSORTABLE)], 0),
        ([("rejected", "p-1"), ("expired", '{"payload": "x"}')], 1),
    ],
)
def test_dead_letters(letters: list[tuple[str, str]], count: int) -> None:
    found = ledger.audit_dead_letters({"p-1"}, {"p-1", "p-2"}, letters, [at_once()])
    assert len(found) == count


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ('{"message": "fine"}', 0),
        ('{"message": "x", "exception": "Traceback ...", "request_id": "r"}', 0),
        ('{"message": "x", "exception": "Traceback ...", "task_id": "t"}', 0),
        ('{"message": "x", "exception": "Traceback ...\\nValueError: no"}', 1),
        ("Traceback (most recent call last):", 1),
        ('{"message": "connecting to amqp://guest:welcome1@host"}', 1),
    ],
)
def test_log_lines(tmp_path: Path, line: str, count: int) -> None:
    log = tmp_path / "api.log"
    log.write_text(f"{line}\n{line}\n")
    assert len(list(logs.inspect(log, {"a password": "welcome1"}))) == count


def test_leaks_are_found() -> None:
    before = {"api": Held(100, 6, 40, 20), "worker": Held(100, 4, 30, 10)}
    assert grown(before, before) == []
    after = {"api": Held(150, 30, 400, 380)}
    assert len(grown(before, after)) == 4  # each of the three, and a worker not there


def attempt(began: float, status: int | None) -> Attempt:
    return Attempt(began, 0.1, "POST /x", status, "code")


def test_recovery_ends_with_the_last_failure() -> None:
    fault = Broken("kill", False, began=0, back=5, worked=5.5, ended=20)
    failing = [attempt(3, 503), attempt(4, 200)]
    assert fault.recovery(failing) == 0.5
    assert fault.judge(failing) == []
    assert fault.recovery([*failing, attempt(12, 503)]) == 7
    assert len(fault.judge([*failing, attempt(12, 503)])) == 1


@pytest.mark.parametrize(("status", "count"), [(502, 1), (409, 0), (None, 0)])
def test_planned_restarts_fail_no_request(status: int | None, count: int) -> None:
    fault = Broken("reload", True, began=0, back=1, worked=1.1, ended=5)
    assert len(fault.judge([attempt(0.5, status)])) == count
