"""The queues as RabbitMQ's management API reports them."""

import base64
import json
import random
import ssl
from functools import cached_property
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import (
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from app.core.exceptions import BrokerUnavailable
from chassis.outages import Outage
from chassis.rabbitmq import RabbitMQServer, rabbitmq_server
from chassis.settings import RabbitMQSettings, RpcSettings

TIMEOUT = 2.0
COLUMNS = (
    *("name", "messages", "messages_ready", "messages_unacknowledged", "consumers"),
    "message_stats.ack",
)

# Under the API's own names; a value that RabbitMQ does not report (yet) is missing.
QueueFigures = dict[str, Any]


class ManagementApi:
    """Blocking: keep it off the event loop. Its values are up to 5 s old.

    Of several nodes it asks the one that answered last, then the others.
    """

    def __init__(
        self, rabbitmq: RabbitMQSettings, rpc: RpcSettings | None = None
    ) -> None:
        self._settings = rabbitmq, rpc
        self._server = rabbitmq_server(rabbitmq, rpc)
        self._bases = list(self._server.management_urls) if self._server else []
        where = " or ".join(self._bases)
        self._outage = Outage(f"RabbitMQ's management API at {where}")
        random.shuffle(self._bases)  # so that nodes share the requests

    def read_queues(self) -> dict[str, QueueFigures]:
        """The values of every queue of the virtual host by name, in one request.

        Raises:
            BrokerUnavailable: no node's management API answered within two seconds.
        """
        if self._server is None:
            raise BrokerUnavailable(
                "Calls go over Redis, which has no management API: RPC_BROKER_URL."
            )
        for base in tuple(self._bases):
            try:
                queues = self._read(self._server, base)
            except HTTPError as error:
                if error.code == 401:  # the next request has the new password
                    self._read_again()
                self._outage.lost(error, _advice(self._server, error.code))
                raise BrokerUnavailable(
                    f"The management API answered {error.code}."
                ) from error
            except (OSError, HTTPException, ValueError) as error:
                failure: Exception = error
                self._bases.append(self._bases.pop(0))
                continue
            self._outage.restored()
            return {figures["name"]: figures for figures in queues}
        # urllib wraps the error of the connection.
        cause = getattr(failure, "reason", failure)
        advice = "it is at RABBITMQ_MANAGEMENT_URL; some brokers have none"
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = (
                f"its certificate is not trusted ({cause.verify_message}): check "
                "RABBITMQ_SSL_CA_FILE and the host's name"
            )
        self._outage.lost(failure, advice)
        raise BrokerUnavailable("The management API does not answer.") from failure

    def _read_again(self) -> None:
        rabbitmq, rpc = self._settings
        self._settings = rabbitmq.read_again(), rpc and rpc.read_again()
        self._server = rabbitmq_server(*self._settings)

    def _read(self, server: RabbitMQServer, base: str) -> list[QueueFigures]:
        vhost, columns = quote(server.vhost, safe=""), ",".join(COLUMNS)
        login = f"{server.monitoring_user}:{server.monitoring_password}"
        user = base64.b64encode(login.encode()).decode()
        request = Request(  # nosec: the base URL is a setting
            f"{base}/api/queues/{vhost}?columns={columns}",
            headers={"Authorization": f"Basic {user}"},
        )
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            queues: list[QueueFigures] = json.load(answer)
        return queues

    @cached_property
    def _opener(self) -> OpenerDirector:
        """Uses AMQP's certificates and, like AMQP, never a proxy that the environment
        names."""
        assert self._server
        server = self._server
        context = ssl.create_default_context(cafile=server.ca_file)
        if not server.verifies:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if server.cert_file:
            context.load_cert_chain(server.cert_file, server.key_file)
        return build_opener(ProxyHandler({}), HTTPSHandler(context=context))


def _advice(server: RabbitMQServer, code: int) -> str | None:
    return {
        401: f"check {server.monitoring_from}, and the user's tag `monitoring`",
        404: f"check {server.vhost_from}",
    }.get(code)
