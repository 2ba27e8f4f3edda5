"""Who asks RabbitMQ's management API, and where."""

import pytest
from pydantic import SecretStr, ValidationError

from chassis.queues import get_queue_name, get_service_name
from chassis.rabbitmq import RabbitMQServer, rabbitmq_server
from chassis.settings import RabbitMQSettings, RpcSettings


def server(url: str | None = None, **settings: object) -> RabbitMQServer:
    rpc = RpcSettings(broker_url=SecretStr(url)) if url else None
    found = rabbitmq_server(RabbitMQSettings.model_validate(settings), rpc)
    assert found is not None
    return found


def test_the_user_of_calls_asks_unless_there_is_one_for_monitoring() -> None:
    own = server("amqp://u:p@a,b")
    assert (own.monitoring_user, own.monitoring_password) == ("u", "p")
    assert own.monitoring_from == "RPC_BROKER_URL"
    assert own.management_urls == ("http://a:15672", "http://b:15672")
    assert str(own) == "a, b"
    watched = server(monitoring_user="m", monitoring_password="s3cret")
    assert (watched.monitoring_user, watched.monitoring_password) == ("m", "s3cret")
    assert watched.monitoring_from == (
        "RABBITMQ_MONITORING_USER, RABBITMQ_MONITORING_PASSWORD"
    )
    assert server(monitoring_user="m").monitoring_password == ""


def test_the_password_is_not_sent_in_the_clear_beside_tls() -> None:
    assert server("amqps://u:p@[::1]").management_urls == ("https://[::1]:15671",)
    given = server("amqps://u:p@a", management_url="https://b:1/x/")
    assert given.management_urls == ("https://b:1/x",)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host:15672", "must be a URL such as https://host:15671"),
        ("ftp://host", "must be a URL such as https://host:15671"),
        ("https://", "must be a URL such as https://host:15671"),
        ("https://host:many", "must be a URL such as https://host:15671"),
        ("https://host:70000", "must be a URL such as https://host:15671"),
        ("https://u:p@host", "must have no user, password or query"),
        ("https://u@host", "must have no user, password or query"),
        ("https://host?x=1", "must have no user, password or query"),
        ("https://host#x", "must have no user, password or query"),
    ],
)
def test_what_is_no_base_url_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RabbitMQSettings(management_url=url)


@pytest.mark.parametrize("url", ["http://host", "https://host:15671/path"])
def test_a_base_url_is_accepted(url: str) -> None:
    assert RabbitMQSettings(management_url=url).management_url == url


@pytest.mark.parametrize("service", ["data", "queue", "a_b"])
def test_a_queue_leads_back_to_its_service(service: str) -> None:
    assert get_service_name(get_queue_name(service)) == service
