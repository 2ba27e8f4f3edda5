"""A subscription's connection: receives one event at a time, and defers failed ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from chassis.events.event import CONTENT_TYPE
from chassis.events.handling import TRIED, tried
from chassis.events.topology import Subscription
from chassis.rpc.connection import IO_TIMEOUT, BrokerConnection
from chassis.rpc.intake import Intake
from chassis.rpc.wire import Outcome, Request, Settlement


class EventIntake(Intake):
    """Keeps the order of the queue: the broker sends the next event when this one is
    settled."""

    def __init__(
        self,
        connection: BrokerConnection,
        subscription: Subscription,
        on_request: Callable[[Request], None],
    ) -> None:
        super().__init__(connection, subscription, 1, on_request)
        self._subscription = subscription

    def send(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        """Settle the deliveries of this connection. What is to be tried again goes to
        the retry queue first."""
        settled = []
        for request, outcome in outcomes:
            if outcome.settlement is Settlement.RETRY:
                if request.intake is self:
                    self._defer(request)
                outcome = replace(outcome, settlement=Settlement.ACK)
            settled.append((request, outcome))
        super().send(settled)

    def _defer(self, request: Request) -> None:
        """Publish it to the retry queue, and wait until the broker has it."""
        channel = self.connection.channel
        # The broker's own headers, all with x-, would be those of another message.
        headers = {k: v for k, v in request.headers.items() if not k.startswith("x-")}
        message = channel.prepare_message(
            request.body,
            content_type=CONTENT_TYPE,
            headers={**headers, TRIED: tried(request) + 1},
            properties={"delivery_mode": 2},
        )
        with self.connection.within(IO_TIMEOUT):
            channel.basic_publish_confirm(
                message,
                exchange="",
                routing_key=self._subscription.retry_queue,
                mandatory=True,
            )
