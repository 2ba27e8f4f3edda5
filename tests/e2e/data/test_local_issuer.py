"""Tokens of the local issuer through the gateway."""

from tests.e2e.client import PROCESS, RECORDS, Api, assert_problem
from tests.e2e.guarded import Guarded


def test_a_token_opens_the_api(alice: Api, bob: Api, admin: Api, nobody: Api) -> None:
    assert_problem(nobody.post(PROCESS, "hello"), 401, "unauthenticated")
    record = alice.process("hello", "uppercase")
    assert record["outcome"]["output"] == "HELLO"
    path = f"{RECORDS}/{record['task_id']}"
    assert_problem(bob.http.get(path), 404)
    assert admin.get_json(path)["task_id"] == record["task_id"]


def test_a_token_has_the_scopes_that_were_asked_for(guarded: Guarded) -> None:
    reader = guarded.client("carol", "records:read")
    assert reader.get_json(RECORDS) == []
    assert_problem(reader.post(PROCESS, "hello"), 403)
