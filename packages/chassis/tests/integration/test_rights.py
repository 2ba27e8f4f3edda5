"""Users of RabbitMQ: what each may do, with the permissions of definitions.json."""

import base64
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import pytest
from pydantic import SecretStr

from chassis.events.publisher import EventMessage, EventPublisher
from chassis.events.topology import EXCHANGE, Subscription, service_permissions
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import EventProducer
from chassis.rpc.receiver import EventReceiver
from chassis.rpc.topology import RequestQueue
from chassis.settings import RabbitMQSettings, RpcSettings
from local import ports
from local.servers.rabbitmq import RabbitMQ
from tests.integration.responder import connect as by_kombu
from tests.integration.waiting import wait_until

DEFINITIONS = Path(__file__).parents[4] / "rabbitmq/definitions.json"
OTHER = RequestQueue("other_queue")

Log = Callable[[str], RabbitMQSettings]


class Echo:
    def call(self, data: str) -> tuple[str, str]:
        return data, "echo"


@pytest.fixture(scope="module")
def login(rabbitmq: RabbitMQ) -> Iterator[Log]:
    """The settings of a user; `data` is there without the demo too."""
    vhost = rabbitmq.create_vhost("test-rights")
    defined = json.loads(DEFINITIONS.read_text())["permissions"]
    allowed = {each["user"]: each for each in defined}
    for user, queue in (("data", "data_queue"), ("other", OTHER.name)):
        allowed.setdefault(user, service_permissions(user, queue))
    for user, permissions in allowed.items():
        tags = "monitoring" if user == "monitoring" else ""
        rabbitmq.call("PUT", f"users/{user}", {"password": user, "tags": tags})
        own = {k: permissions[k] for k in ("configure", "write", "read")}
        rabbitmq.call("PUT", f"permissions/{quote(vhost, safe='')}/{user}", own)
    yield lambda user: RabbitMQSettings(
        host=rabbitmq.host,
        port=rabbitmq.port,
        user=user,
        password=SecretStr(user),
        vhost=vhost,
    )
    for user in allowed:
        rabbitmq.call("DELETE", f"users/{user}")
    rabbitmq.delete_vhost(vhost)


@pytest.fixture(scope="module")
def services(login: Log) -> Iterator[None]:
    """Each with a user of its own, and serving."""
    receivers = [
        EventReceiver(
            queue_name=queue, service=Echo, service_name=user, rabbitmq=login(user)
        )
        for user, queue in (("data", "data_queue"), ("other", OTHER.name))
    ]
    threads = [threading.Thread(target=each.run) for each in receivers]
    for thread in threads:
        thread.start()
    yield
    for receiver, thread in zip(receivers, threads, strict=True):
        receiver.stop()
        thread.join(10)


def connect(settings: RabbitMQSettings) -> amqp.Connection:
    return amqp.Connection(
        ports.at(settings.port, settings.host),
        userid=settings.user,
        password=settings.password.get_secret_value(),
        virtual_host=settings.vhost,
        connect_timeout=5,
        read_timeout=5,
    )


def wait_for_consumer(login: Log, user: str) -> None:
    """As the service's own user: RabbitMQ 4.3 tells others nothing about its queue."""
    queue = {"data": "data_queue", "other": OTHER.name}[user]

    def has_consumer() -> bool:
        with connect(login(user)) as connection:
            try:
                found = connection.channel().queue_declare(queue, passive=True)
            except amqp.NotFound:
                return False
            return bool(found and found[2])

    wait_until(has_consumer, "the service")


@pytest.mark.parametrize(
    ("user", "queue", "served_by"),
    [
        ("api", "data_queue", "data"),
        ("api", OTHER.name, "other"),
        ("data", OTHER.name, "other"),
    ],
)
@pytest.mark.usefixtures("services")
def test_callers_get_answers(login: Log, user: str, queue: str, served_by: str) -> None:
    """A service may call another one."""
    wait_for_consumer(login, served_by)
    client = RpcClient(login(user), RpcSettings())
    with closing(EventProducer(client, 5)) as producer:
        client.start()
        assert client.wait_connected(5)
        assert producer.call(queue, {"a": 1})


ACTIONS: dict[str, Callable[[Any, str], Any]] = {
    "consume": lambda channel, queue: channel.basic_consume(queue),
    "get": lambda channel, queue: channel.basic_get(queue),
    "purge": lambda channel, queue: channel.queue_purge(queue),
    "delete": lambda channel, queue: channel.queue_delete(queue),
    "declare": lambda channel, queue: channel.queue_declare(f"{queue}x", durable=True),
    "bind": lambda channel, queue: channel.queue_bind(queue, "amq.topic", "#"),
    "exchange": lambda channel, _: channel.exchange_declare("mine", "topic"),
}


@pytest.mark.promise(
    "docs/SECURITY.md",
    "read the queue of another service, answer for it, or publish events",
)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("user", "queue"),
    [
        *(("api", "data_queue"), ("api", "data_queue_dlq")),
        *(("data", OTHER.name), ("data", OTHER.dead_letter_name)),
        *(("other", "data_queue"), ("monitoring", "data_queue")),
    ],
)
@pytest.mark.usefixtures("services")
def test_nobody_touches_the_queue_of_another(
    login: Log, user: str, queue: str, action: str
) -> None:
    """So nobody reads the requests of another service, or answers for it."""
    wait_for_consumer(login, "data")
    wait_for_consumer(login, "other")
    with connect(login(user)) as connection:
        with pytest.raises(amqp.AccessRefused):
            ACTIONS[action](connection.channel(), queue)


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "exchange"])
@pytest.mark.usefixtures("services")
def test_a_service_has_queues_of_events_of_its_own(login: Log, action: str) -> None:
    own = Subscription("data", "record.*")
    with by_kombu(login("data")) as connection:
        own.declare(connection.channel())
    with connect(login("other")) as connection:
        with pytest.raises(amqp.AccessRefused):
            ACTIONS[action](connection.channel(), own.name)
        with pytest.raises(amqp.AccessRefused):
            connection.channel().basic_publish_confirm(
                amqp.Message("{}"), own.exchange, "record.failed"
            )


@pytest.mark.promise(
    "docs/RPC.md", "One exclusive reply queue lives as long as the connection."
)
def test_a_reply_queue_is_its_callers_alone(login: Log) -> None:
    """Its name, which services learn, opens it to nobody."""
    with connect(login("api")) as caller, connect(login("data")) as service:
        caller.channel().queue_declare("rpc.reply.1", exclusive=True)
        for action in ("consume", "get", "delete"):
            with pytest.raises(amqp.exceptions.ResourceLocked):
                ACTIONS[action](service.channel(), "rpc.reply.1")


def test_the_api_publishes_events_and_streams_them(login: Log) -> None:
    publisher = EventPublisher(login("api"), RpcSettings(), EXCHANGE, "test")
    with connect(login("api")) as connection, closing(publisher):
        publisher.open()
        channel = connection.channel()
        channel.queue_declare("events.api.1", exclusive=True)
        channel.queue_bind("events.api.1", EXCHANGE, "#")
        publisher.publish([EventMessage("1", "record.tested", b"{}", -1)])
        assert channel.basic_get("events.api.1", no_ack=True) is not None


@pytest.mark.promise("docs/SECURITY.md", "send or receive anything")
def test_monitoring_sends_nothing_and_reads_figures(
    login: Log, rabbitmq: RabbitMQ
) -> None:
    with connect(login("monitoring")) as connection:
        channel = connection.channel()
        channel.confirm_select()
        with pytest.raises(amqp.AccessRefused):
            channel.basic_publish_confirm(amqp.Message("{}"), "", "data_queue")
    vhost = quote(login("monitoring").vhost, safe="")
    for user, status in (("monitoring", 200), ("data", 401)):
        request = urllib.request.Request(
            f"{rabbitmq.management_url}/api/queues/{vhost}"
        )
        credentials = base64.b64encode(f"{user}:{user}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        try:
            with ports.DIRECT.open(request, timeout=5) as answer:
                assert answer.status == status
        except urllib.error.HTTPError as error:
            assert error.code == status
