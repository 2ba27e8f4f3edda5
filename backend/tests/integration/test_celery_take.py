"""How a worker takes tasks from Redis: in one step, and without asking in vain."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker
from celery.worker import state
from kombu import Connection, Consumer, Queue
from pydantic import SecretStr
from redis import Redis as Client

from app.core.config import CelerySettings
from app.infrastructure.celery import QUEUES, create_celery
from local.servers.redis import Redis

PATIENCE = 10


@pytest.fixture
def redis(redis_server: Redis) -> Iterator[Any]:
    with redis_server.connect() as client:
        client.flushall()
        yield client


@pytest.fixture
def celery(redis: Client, redis_server: Redis) -> Iterator[Celery]:
    url = SecretStr(redis_server.url(0))
    app = create_celery(CelerySettings(broker_url=url, result_backend=url))
    yield app
    app.close()


@pytest.fixture
def connection(celery: Celery) -> Iterator[Connection]:
    with celery.connection_for_read() as connection:
        yield connection


def publish(celery: Celery, queue: str = "default", **options: Any) -> str:
    task_id = str(uuid4())
    celery.send_task("test", task_id=task_id, queue=queue, **options)
    return task_id


class Worker:
    """Consumes from all queues, one message at a time, as Celery's worker does."""

    def __init__(self, connection: Connection, no_ack: bool = False) -> None:
        self.connection, self.ids = connection, list[str]()
        consumer = Consumer(
            connection.channel(),
            [Queue(name) for name in QUEUES],
            on_message=self._on_message,
            no_ack=no_ack,
        )
        consumer.qos(prefetch_count=1)
        consumer.consume()
        self._no_ack = no_ack

    def _on_message(self, message: Any) -> None:
        self.ids.append(message.headers["id"])
        if not self._no_ack:
            message.ack()

    def run_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until
            try:
                self.connection.drain_events(timeout=0.1)
            except TimeoutError:
                pass


def held(redis: Any) -> set[str]:
    """Ids of the tasks that workers hold, as the sweep finds them."""
    messages = [json.loads(each)[0] for each in redis.hvals("unacked")]
    return {message["headers"]["id"] for message in messages}


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until


def take(worker: Worker) -> None:
    """Have it ask for a message, and do no more: it might be killed now."""
    transport: Any = worker.connection.transport
    transport.cycle.on_poll_start()


def test_a_worker_that_dies_with_the_answer_on_its_way_has_lost_nothing(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    task_id = publish(celery)
    take(Worker(connection))
    wait_for(lambda: not redis.llen("default"))
    assert held(redis) == {task_id}
    assert redis.zrange("unacked_index", 0, -1) == redis.hkeys("unacked")


def test_what_it_held_is_given_to_another_after_a_while(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    task_id = publish(celery, "low", headers={"x": "日本語"})
    (before,) = redis.lrange("low", 0, -1)
    worker = Worker(connection)
    take(worker)
    wait_for(lambda: not redis.llen("low"))
    channel: Any = connection.channel()
    channel.qos.restore_visible(interval=1)
    assert not redis.llen("low")  # it is not yet time
    channel.qos.__dict__["visibility_timeout"] = -1
    channel.qos.restore_visible(interval=1)
    (after,) = redis.lrange("low", 0, -1)
    assert not held(redis)
    before, after = json.loads(before), json.loads(after)
    assert after["properties"]["delivery_info"].pop("redelivered")
    assert after["headers"].pop("redelivered")
    assert (after, after["headers"]["id"]) == (before, task_id)


def test_queues_are_looked_at_in_their_order(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    sent = {name: [publish(celery, name) for _ in "12"] for name in reversed(QUEUES)}
    worker = Worker(connection)
    redis.script_flush()
    worker.run_until(lambda: len(worker.ids) == 6)
    assert worker.ids == [each for name in QUEUES for each in sent[name]]
    wait_for(lambda: not held(redis))


def test_an_acknowledgement_brings_the_next_message_along(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    first, second, third = (publish(celery) for _ in range(3))
    worker = Worker(connection)
    redis.config_resetstat()
    worker.run_until(lambda: worker.ids == [first])
    wait_for(lambda: held(redis) == {second})
    assert redis.zrange("unacked_index", 0, -1) == redis.hkeys("unacked")
    assert redis.info("commandstats")["cmdstat_eval"]["calls"] == 2
    worker.run_until(lambda: worker.ids == [first, second])
    wait_for(lambda: held(redis) == {third})


def receive(connection: Connection, messages: list[Any], task_id: str) -> None:
    """Until that message has come; a lost connection is made again."""
    errors: Any = (*connection.connection_errors, TimeoutError)
    until = time.monotonic() + PATIENCE
    while task_id not in [message.headers["id"] for message in messages]:
        assert time.monotonic() < until
        with suppress(errors):
            connection.drain_events(timeout=0.1)


def consume(connection: Connection, messages: list[Any]) -> Consumer:
    """One message at a time, left without an acknowledgement."""
    consumer = Consumer(
        connection.channel(), [Queue("default")], on_message=messages.append
    )
    consumer.qos(prefetch_count=1)
    consumer.consume()
    return consumer


def test_whoever_wants_no_more_acknowledges_without_taking(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    messages: list[Any] = []
    first, _ = publish(celery), publish(celery)
    consumer = consume(connection, messages)
    receive(connection, messages, first)
    consumer.cancel()
    messages[0].ack()
    wait_for(lambda: not held(redis))
    assert redis.llen("default") == 1


def test_a_task_may_end_after_its_channel_was_closed(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    messages: list[Any] = []
    task_id = publish(celery)
    consume(connection, messages)
    receive(connection, messages, task_id)
    connection.collect()  # as Celery does when the connection is lost
    messages[0].ack()
    wait_for(lambda: not held(redis))


def test_an_acknowledgement_that_meets_a_broken_connection_stops_nothing(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    messages: list[Any] = []
    first, second = publish(celery), publish(celery)
    consume(connection, messages)
    receive(connection, messages, first)
    channel = messages[0].channel
    channel.client.connection._sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(channel.connection_errors):
        messages[0].ack()
    receive(connection, messages, second)


def test_empty_queues_are_waited_for_not_asked(
    connection: Connection, redis: Any
) -> None:
    worker = Worker(connection)
    began = time.monotonic()
    redis.config_resetstat()
    worker.run_until(lambda: time.monotonic() > began + 2.5)
    calls = {name: each["calls"] for name, each in redis.info("commandstats").items()}
    # BRPOP ends each second, and is sent again after a look.
    assert 2 <= calls["cmdstat_brpop"] <= 4
    assert calls["cmdstat_eval"] <= 4


def test_a_message_ends_the_wait_at_once(
    celery: Celery, connection: Connection, redis: Any, redis_server: Redis
) -> None:
    worker = Worker(connection)
    thread = Thread(target=worker.run_until, args=(lambda: bool(worker.ids),))
    thread.start()
    wait_for(lambda: redis_server.waiting(0) == 1)
    began = time.monotonic()
    task_id = publish(celery)
    thread.join()
    assert time.monotonic() - began < 0.5
    assert worker.ids == [task_id]


def test_it_goes_on_when_redis_comes_back(
    celery: Celery, connection: Connection, redis_server: Redis
) -> None:
    worker = Worker(connection)
    take(worker)
    redis_server.kill()
    redis_server.start()
    task_id = publish(celery)
    errors: Any = connection.connection_errors
    with pytest.raises(errors):
        worker.run_until(lambda: bool(worker.ids))
    worker.run_until(lambda: task_id in worker.ids)


def test_consumers_that_acknowledge_nothing_leave_nothing(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    task_id = publish(celery)
    worker = Worker(connection, no_ack=True)
    worker.run_until(lambda: worker.ids == [task_id])
    assert not held(redis)


def test_kombu_notes_what_lua_cannot_read(
    celery: Celery, connection: Connection, redis: Any
) -> None:
    task_id = publish(celery, headers={"half a pair": "\ud800"})
    worker = Worker(connection)
    take(worker)
    wait_for(lambda: not redis.llen("default"))
    assert not held(redis)
    redis.config_resetstat()
    worker.run_until(lambda: worker.ids == [task_id])
    wait_for(lambda: not held(redis))
    assert redis.info("commandstats")["cmdstat_hset"]["calls"] == 1


def test_delayed_expired_and_revoked_tasks_are_what_they_were(
    celery: Celery, redis: Any
) -> None:
    ran: list[str | None] = []

    @celery.task(bind=True)
    def task(self: Task[Any, Any]) -> None:
        ran.append(self.request.id)

    task.apply_async(expires=-1)
    state.revoked.add(task.apply_async().id)
    delayed = task.apply_async(countdown=2).id
    at_once = task.apply_async().id
    with start_worker(celery, pool="solo", perform_ping_check=False):
        wait_for(lambda: ran == [at_once])
        wait_for(lambda: held(redis) == {delayed})
        wait_for(lambda: ran == [at_once, delayed])
        wait_for(lambda: not held(redis))
