"""Two generated services together, through nginx."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from chassis.database_url import PostgresUrl
from chassis.events.topology import Subscription
from kit.names import Name
from kit.tests.copies import OTHER, SERVICE
from local.registry import registered
from local.servers.rabbitmq import RabbitMQ
from local.stack import Stack
from tests.e2e.client import Api, assert_problem, wait_for

ASKED = f"/api/v1/{SERVICE}/process"
ASKING = f"/api/v1/{OTHER.replace('_', '-')}/process"
COUNTING = Name.parse(SERVICE).snake
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


COUNTED = f"""
SELECT type, sum(number) FROM {COUNTING}.happened GROUP BY type
UNION ALL SELECT 'ids', count(*) FROM {COUNTING}.received_events
"""
IS_LAST_COUNTED = f"""
SELECT 'last', count(*) FROM {COUNTING}.received_events WHERE event_id = (
    SELECT event_id::text FROM record_events ORDER BY sequence DESC LIMIT 1
)
"""


def ask(stack: Stack, query: str) -> Counter[str]:
    """What the database of the service with events answers."""
    url = PostgresUrl(stack.env["MIGRATIONS_DATABASE_URL"]).for_psycopg2()
    with closing(psycopg2.connect(**url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return Counter({type: int(number) for type, number in cursor})


def test_each_event_is_counted_once(api: Api, stack: Stack, rabbitmq: RabbitMQ) -> None:
    queue = Subscription(COUNTING, "record.*").name
    wait_for(lambda: rabbitmq.consumers(queue) > 0, "the subscription")

    def process_and_count(number: int) -> int:
        for _ in range(number):
            assert api.send(ASKED, BODY).status_code == 200
        if number > 1:
            # The relay publishes some again, and RabbitMQ delivers one again.
            (counting,) = (app for app in stack.services if app.name == COUNTING)
            for app in (*stack.relays, counting):
                app.kill()
                app.start()
        is_done = IS_LAST_COUNTED
        wait_for(lambda: ask(stack, is_done)["last"] == 1, "the last event", within=60)
        found = ask(stack, COUNTED)
        assert found["ids"] == found.total() - found["ids"]
        return found["record.succeeded"]

    before = process_and_count(1)
    assert process_and_count(20) == before + 20


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
