"""What the log says about errors of RabbitMQ that retries cannot fix."""

import socket
import ssl

import amqp
import pytest
from pydantic import SecretStr

from chassis.rabbitmq import rabbitmq_server
from chassis.rpc.advice import broker_advice
from chassis.settings import RabbitMQSettings, RpcSettings

BY_NAME = rabbitmq_server(RabbitMQSettings(user="shop", vhost="kit"))
BY_URL = rabbitmq_server(
    RabbitMQSettings(), RpcSettings(broker_url=SecretStr("amqp://shop:pw@broker/kit"))
)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("handshake failed")
    error.verify_message = "self-signed certificate"
    return error


def broken_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError("handshake failed")
    error.reason = reason
    return error


NO_TLS = "this port speaks no TLS: brokers have TLS at port 5671"
LIMIT = (
    "the broker accepts no more connections of this user or virtual host: run fewer "
)
LIMIT += "processes, or raise its limit"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            amqp.AccessRefused("Login was refused using authentication mechanism"),
            "user shop or its password is wrong: check RABBITMQ_USER, "
            "RABBITMQ_PASSWORD",
        ),
        (
            amqp.AccessRefused("configure access to queue 'x' refused"),
            "user shop lacks permissions on the virtual host kit: grant it what "
            "rabbitmq/definitions.json does, with `rabbitmqctl set_permissions`",
        ),
        (amqp.NotAllowed("connection limit (5) is reached"), LIMIT),
        (
            amqp.NotAllowed("vhost kit not found"),
            "no virtual host kit, or not for user shop: check RABBITMQ_VHOST",
        ),
        (
            untrusted(),
            "the broker's certificate is not trusted (self-signed certificate): check "
            "RABBITMQ_SSL_CA_FILE and the host's name",
        ),
        (broken_tls("WRONG_VERSION_NUMBER"), NO_TLS),
        (broken_tls("RECORD_LAYER_FAILURE"), NO_TLS),
        (
            broken_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "the broker refused the TLS session: check the client certificate, "
            "RABBITMQ_SSL_CERT_FILE",
        ),
        (socket.gaierror(), "the name has no address: check RABBITMQ_HOST"),
        (ConnectionResetError(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_advice(error: Exception, advice: str | None) -> None:
    assert BY_NAME is not None
    assert broker_advice(BY_NAME, error) == advice


@pytest.mark.parametrize(
    "error",
    [
        amqp.AccessRefused("Login was refused using authentication mechanism"),
        amqp.NotAllowed("vhost kit not found"),
        socket.gaierror(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_advice_names_the_url_that_was_used(error: Exception) -> None:
    assert BY_URL is not None
    advice = broker_advice(BY_URL, error)
    assert advice and advice.endswith(": check RPC_BROKER_URL")
