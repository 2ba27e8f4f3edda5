"""The servers' contents at the end, read without the API."""

from typing import Any

import psycopg2

from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from tests.chaos.ledger import Row
from tests.e2e.client import wait_for


def unfinished(postgres: PostgreSQL) -> int:
    """The number of accepted works that have not ended."""
    query = "SELECT id FROM data_processing_records WHERE task_status = %s"
    return len(_ask(postgres, query, "Processing"))


def rows(postgres: PostgreSQL) -> list[Row]:
    """Every record."""
    query = (
        "SELECT task_id, payload, task_status, outcome FROM data_processing_records"
        " WHERE id > %s"
    )
    return [Row(*row) for row in _ask(postgres, query, 0)]


def _ask(postgres: PostgreSQL, query: str, value: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(postgres.url().replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [value])
            return cursor.fetchall()
    finally:
        connection.close()


def dead_letters(rabbitmq: RabbitMQ, queue: str) -> list[tuple[str, str]]:
    """The reason and body of each dead letter; they stay in the queue."""
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        found = []
        while message := channel.basic_get(queue):
            reason = (message.headers or {})["x-first-death-reason"]
            body = message.body
            text = body if isinstance(body, str) else body.decode(errors="replace")
            found.append((str(reason), text))
    return found


def wait_empty(rabbitmq: RabbitMQ, queue: str) -> None:
    """Wait until no message waits in a queue or with its consumers."""

    def depth() -> int:
        with rabbitmq.connect() as connection:
            answer = connection.channel().queue_declare(queue, passive=True)
            return answer[1] if answer else 0

    wait_for(lambda: depth() == 0, f"the end of {queue}")
