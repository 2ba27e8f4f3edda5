"""Ids of work without a key; ``test_idempotency`` has those of keys."""

from app.core.ids import new_task_id
from chassis.context import current_task_id


def test_a_new_id_becomes_the_current_one() -> None:
    token = current_task_id.set("before")
    try:
        found = new_task_id()
        assert current_task_id.get() == found != "before"
        assert new_task_id() != found
    finally:
        current_task_id.reset(token)
