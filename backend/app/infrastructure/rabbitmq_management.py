"""Queue depths, from RabbitMQ's management API."""

import base64
import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from app.core.config import RabbitMQSettings
from app.core.exceptions import BrokerUnavailable

TIMEOUT = 2.0
FIELDS = ("messages", "messages_ready", "messages_unacknowledged")


class ManagementApi:
    """Blocking: keep it off the event loop. The figures are up to 5 s old."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        base = settings.management_url or f"http://{settings.host}:15672"
        self._queues = f"{base.rstrip('/')}/api/queues/{quote(settings.vhost, safe='')}"
        user = f"{settings.user}:{settings.password.get_secret_value()}"
        self._authorization = "Basic " + base64.b64encode(user.encode()).decode()

    def depth(self, queue: str) -> dict[str, int] | None:
        """Messages in ``queue``, by the names of the API; None if it does not exist.

        Raises:
            BrokerUnavailable: as :meth:`figures`.
        """
        figures = self.figures(queue)
        if figures is None:
            return None
        return {field: figures.get(field, 0) for field in FIELDS}

    def figures(self, queue: str) -> dict[str, Any] | None:
        """All that the API says of ``queue``; None if it does not exist.

        Raises:
            BrokerUnavailable: the management API did not answer within two seconds.
        """
        request = Request(  # nosec: the base URL is a setting
            f"{self._queues}/{quote(queue, safe='')}",
            headers={"Authorization": self._authorization},
        )
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:  # nosec
                figures: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            if error.code == 404:
                return None
            raise BrokerUnavailable(
                f"The management API answered {error.code}."
            ) from error
        except (OSError, ValueError) as error:
            raise BrokerUnavailable("The management API does not answer.") from error
        return figures
