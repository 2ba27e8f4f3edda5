"""Clients and processes of the last release find what they knew."""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from app.infrastructure.task_publisher import accepted_work
from tests.echo import create_echo_app
from tests.releases import EXAMPLES, bodies, differences, newest_example

ROOT = Path(__file__).parents[3]
RPC = ROOT / "docs/rpc-examples.json"


def test_the_document_is_up_to_date() -> None:
    """`make docs` adds the examples of a version that has none; its task, statements
    and arguments are those of the one before, until you change them."""
    text = (ROOT / "backend/pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)
    file = EXAMPLES / f"{version}.json"
    if os.environ.get("UPDATE_DOCS") and not file.exists():
        schema = bodies(create_echo_app().openapi())
        new = {"bodies": schema, "rpc": json.loads(RPC.read_text())}
        file.write_text(json.dumps(newest_example() | new, indent=1) + "\n")
    assert newest_example()["bodies"]


def test_clients_of_the_last_release_find_their_fields() -> None:
    now = bodies(create_echo_app().openapi())
    assert list(differences(newest_example()["bodies"], now)) == []


def lose(now: dict[str, Any]) -> None:
    del now["Record"]["fields"]["outcome"]


def rename(now: dict[str, Any]) -> None:
    now["Log"]["fields"]["id"] = "string"


def demand(now: dict[str, Any]) -> None:
    now["DataRequest"]["required"].append("description")


def omit(now: dict[str, Any]) -> None:
    now["TaskResult"]["required"].remove("task_id")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose, "Record.outcome is gone"),
        (rename, "Log.id was integer, and is string"),
        (demand, "DataRequest.description became required"),
        (omit, "TaskResult.task_id is no longer required"),
    ],
)
def test_a_change_that_clients_notice_is_found(change: Any, said: str) -> None:
    was = newest_example()["bodies"]
    change(now := copy.deepcopy(was))
    assert list(differences(was, now)) == [said]


def contains(now: Any, was: Any) -> bool:
    """Whether nothing is missing or different; there may be more."""
    if isinstance(was, dict):
        return all(name in now and contains(now[name], was[name]) for name in was)
    return bool(now == was)


def test_messages_of_calls_still_have_what_they_had() -> None:
    """The chassis and the services are tested with today's examples."""
    assert contains(json.loads(RPC.read_text()), newest_example()["rpc"])


def test_a_worker_of_the_last_release_knows_all_arguments_of_a_task() -> None:
    """Without authentication: an API with it needs workers that know the principal."""
    work = accepted_work("id", "{}", "request", "data_queue", "default")
    assert set(work.arguments) == set(newest_example()["arguments"])
