"""A service of three lines, in a separate process."""

import json
import signal
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.queues import get_queue_name
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import EventProducer
from tests.integration.caller import Caller, Rabbit
from tests.integration.conftest import Start
from tests.integration.waiting import wait_until

SERVICE = """
import json
import time
from pathlib import Path

class PriceListService:
    def call(self, data):
        Path("began").touch()
        time.sleep(json.loads(data)["payload"])
        return json.dumps("priced"), "price"
"""
MAIN = """
from chassis.service import serve
from price_list_service import PriceListService
serve(PriceListService)
"""
QUEUE = get_queue_name("price_list")


@pytest.fixture
def main(tmp_path: Path) -> list[str]:
    (tmp_path / "price_list_service.py").write_text(SERVICE)
    (tmp_path / "main.py").write_text(MAIN)
    return [str(tmp_path / "main.py")]


def connection_names(rabbitmq: Rabbit) -> list[str]:
    credentials = b64encode(f"{rabbitmq.user}:{rabbitmq.password}".encode()).decode()
    request = urllib.request.Request(
        f"{rabbitmq.management_url}/api/connections",
        headers={"Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [each.get("user_provided_name", "") for each in json.load(answer)]


def test_name_and_queue_come_from_the_class(
    launch: Start, main: list[str], client: RpcClient, rabbitmq: Rabbit, vhost: str
) -> None:
    process = launch(main, QUEUE_NAME="", LOG_FORMAT="json")
    wait_until(lambda: rabbitmq.consumers(QUEUE, vhost) == 1, "it consumes")
    producer = EventProducer(client, timeout=10)
    reply = producer.call(QUEUE, {"payload": 0}, task_id="t-1", correlation_id="r-1")
    assert (reply.outcome, reply.task_type) == ("priced", "price")
    wait_until(lambda: "Served" in process.log, "it has logged the request")
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert {line["service"] for line in lines} == {"price_list"}
    (served,) = [line for line in lines if "Served a request" in line["message"]]
    assert (served["request_id"], served["task_id"]) == ("r-1", "t-1")
    assert served["outcome"] == "ok"
    assert served["duration_ms"] >= 0
    wait_until(
        lambda: any(n.startswith("price_list@") for n in connection_names(rabbitmq)),
        "RabbitMQ shows its name",
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_drains_and_exits(
    start: Start,
    main: list[str],
    connect: Callable[[], Caller],
    queue: str,
    signum: signal.Signals,
    tmp_path: Path,
) -> None:
    process = start(main, CONCURRENCY="1", LOG_FORMAT="text")
    caller = connect()
    running = caller.send(1.0)
    wait_until((tmp_path / "began").exists, "the first request runs")
    caller.send(0)
    process.signal(signum)
    assert caller.reply(running).body == "priced"
    assert process.wait() == 0
    wait_until(lambda: caller.depth(queue) == 1, "the second is back in the queue")
    assert "Stopped" in process.log
    assert "Traceback" not in process.log


def test_invalid_settings_end_it_with_a_message(launch: Start, main: list[str]) -> None:
    process = launch(main, RABBITMQ_PORT="x", CONCURRENCY="0")
    assert process.wait() == 1
    assert "RABBITMQ_PORT: " in process.log
    assert "Traceback" not in process.log
