"""Two generated services together, through nginx."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.tests.copies import OTHER, SERVICE
from local.registry import registered
from local.stack import Stack
from tests.e2e.client import Api, assert_problem, wait_for

ASKED = f"/api/v1/{SERVICE}/process"
ASKING = f"/api/v1/{OTHER.replace('_', '-')}/process"
BODY = b'{"payload": {"text": "a", "times": 3}}'


def test_one_service_calls_the_other(api: Api) -> None:
    answer = api.send(ASKING, BODY, **{"X-Request-ID": "through-both"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == {"text": "aaa", "length": 3}


def test_a_refusal_of_the_other_is_a_refusal(api: Api) -> None:
    body = {"payload": {"text": "x" * 1_000, "times": 11}}
    answer = api.send(ASKING, json.dumps(body).encode())
    assert_problem(answer, 422, "too_long")


def test_accepted_work_belongs_to_its_service(api: Api) -> None:
    place = api.send(f"{ASKED}-async", BODY).headers["Location"]
    assert api.http.get(place).status_code == 200
    assert_problem(api.http.get(place.replace(ASKED, ASKING)), 404, "not_found")


@pytest.mark.usefixtures("rabbitmq")
def test_each_service_has_its_metrics(api: Api) -> None:
    def measured() -> bool:
        depths = api.get_json("/api/v1/metrics")["queues"] or {}
        expected = {q for each in registered().values() for q in (each, f"{each}_dlq")}
        return set(depths) == expected and all(depths.values())

    wait_for(measured, "figures of all queues")


def test_accepted_work_of_both_outlives_the_worker(api: Api, stack: Stack) -> None:
    def accept(number: int) -> str:
        answer = api.send(f"{(ASKED, ASKING)[number % 2]}-async", BODY)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    with ThreadPoolExecutor(8) as clients:
        places = list(clients.map(accept, range(20)))
        stack.worker.kill()
        places += clients.map(accept, range(20))
        stack.worker.start()
    for place in places:

        def ended() -> bool:
            state = api.get_json(place)["task_status"]
            assert state in ("Processing", "Success")
            return bool(state == "Success")

        wait_for(ended, f"the end of {place}", within=120)
