"""One request from its delivery to its outcome."""

import logging
from typing import Protocol

from chassis import json_text
from chassis.context import current_deadline, current_request_id, current_task_id
from chassis.errors import DeadlineExceeded, Refused
from chassis.rpc.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    Outcome,
    Request,
    Settlement,
    answered,
    refused,
)

logger = logging.getLogger(__name__)


class Service(Protocol):
    """JSON in, (JSON, task type) out; called from several threads at once."""

    def call(self, data: str) -> tuple[str, str]:
        """Serve one request; ``data`` is JSON. Raises ServiceError to refuse it."""


class RequestHandler:
    """Calls the service and turns whatever happens into an Outcome; never raises.

    ``delivery_limit`` is how often a request is delivered before it is dead-lettered.
    """

    def __init__(self, service: Service, delivery_limit: int) -> None:
        self._service = service
        self._delivery_limit = delivery_limit

    def __call__(self, request: Request) -> Outcome:
        """Handle one request, within its context."""
        tokens = (
            (current_request_id, current_request_id.set(request.request_id)),
            (current_task_id, current_task_id.set(request.task_id)),
            (current_deadline, current_deadline.set(request.deadline)),
        )
        try:
            return self._handle(request)
        except BaseException:
            # SystemExit too: it would end this thread and leave the message unsettled.
            return self._failed(request)
        finally:
            for variable, token in tokens:
                variable.reset(token)  # type: ignore[arg-type]

    def _handle(self, request: Request) -> Outcome:
        if request.is_late():
            logger.info("Dropped a request: it came after its deadline")
            return Outcome(Settlement.ACK, error=DeadlineExceeded.code)
        try:
            text = _readable(request)
        except ValueError as error:
            logger.warning("Dead-lettered a message that is no request: %s", error)
            return refused(INVALID_REQUEST, str(error), Settlement.DEAD_LETTER)
        try:
            return answered(*self._service.call(text))
        except Refused as refusal:
            return refused(refusal.code, refusal.detail)

    def _failed(self, request: Request) -> Outcome:
        is_last = request.attempt >= self._delivery_limit
        logger.exception(
            "The service failed on delivery %d of %d: %s",
            request.attempt,
            self._delivery_limit,
            "dead-lettered" if is_last else "given back to the queue",
        )
        if not is_last:
            return Outcome(Settlement.REQUEUE, error=INTERNAL_ERROR)
        message = "the service failed on this request"
        return refused(INTERNAL_ERROR, message, Settlement.DEAD_LETTER)


def _readable(request: Request) -> str:
    if not request.reply_to:
        raise ValueError("it names no queue to reply to")
    try:
        text = request.body.decode()
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    json_text.loads(text)
    return text
