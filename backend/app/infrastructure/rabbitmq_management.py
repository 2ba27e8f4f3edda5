"""The queues as RabbitMQ's management API reports them."""

import base64
import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from app.core.exceptions import BrokerUnavailable
from chassis.outages import Outage
from chassis.settings import RabbitMQSettings

TIMEOUT = 2.0
# Like AMQP, these requests never take the proxy that the environment may name.
DIRECT = build_opener(ProxyHandler({}))
ADVICE = {
    401: "check RABBITMQ_USER, RABBITMQ_PASSWORD, and the user's tag `monitoring`",
    404: "check RABBITMQ_VHOST",
}
COLUMNS = (
    *("name", "messages", "messages_ready", "messages_unacknowledged", "consumers"),
    "message_stats.ack",
)

# Under the API's own names; a value that RabbitMQ does not report (yet) is missing.
QueueFigures = dict[str, Any]


class ManagementApi:
    """Blocking: keep it off the event loop. Its values are up to 5 s old."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        base = settings.management_url or f"http://{settings.host}:15672"
        vhost = quote(settings.vhost, safe="")
        columns = ",".join(COLUMNS)
        self._url = f"{base.rstrip('/')}/api/queues/{vhost}?columns={columns}"
        user = f"{settings.user}:{settings.password.get_secret_value()}"
        self._outage = Outage(f"RabbitMQ's management API at {base}")
        self._authorization = "Basic " + base64.b64encode(user.encode()).decode()

    def read_queues(self) -> dict[str, QueueFigures]:
        """The values of every queue of the virtual host by name, in one request.

        Raises:
            BrokerUnavailable: the management API did not answer within two seconds.
        """
        request = Request(  # nosec: the base URL is a setting
            self._url, headers={"Authorization": self._authorization}
        )
        try:
            with DIRECT.open(request, timeout=TIMEOUT) as answer:
                queues: list[QueueFigures] = json.load(answer)
        except HTTPError as error:
            self._outage.lost(error, ADVICE.get(error.code))
            raise BrokerUnavailable(
                f"The management API answered {error.code}."
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            self._outage.lost(error)
            raise BrokerUnavailable("The management API does not answer.") from error
        self._outage.restored()
        return {figures["name"]: figures for figures in queues}
