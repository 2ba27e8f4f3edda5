"""One request from its delivery to its outcome."""

import logging
from typing import Protocol

from app import json_text
from app.errors import ServiceError
from app.logs import current_ids
from app.rpc.message import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    Outcome,
    Reply,
    Request,
    Settlement,
    error_reply,
    ok_reply,
)

logger = logging.getLogger(__name__)


class Service(Protocol):
    """JSON in, (JSON, task type) out; called from several threads at once."""

    def call(self, data: str) -> tuple[str, str]: ...


class RequestHandler:
    """Calls the service and turns whatever happens into an Outcome; never raises."""

    def __init__(self, service: Service, delivery_limit: int) -> None:
        self._service = service
        self._delivery_limit = delivery_limit

    def __call__(self, request: Request) -> Outcome:
        """Handles one request; `request.headers` carry its trace context."""
        ids = {"request_id": request.request_id, "task_id": request.task_id}
        token = current_ids.set(ids)
        try:
            return self._handle(request)
        except BaseException:
            # SystemExit too: it would end this thread and leave the message unsettled.
            return self._failed(request)
        finally:
            current_ids.reset(token)

    def _handle(self, request: Request) -> Outcome:
        if request.is_stale():
            logger.debug("request %s came too late: dropped", request.request_id)
            return Outcome(Settlement.ACK)
        try:
            text = self._readable(request)
        except ValueError as error:
            logger.warning(
                "message %s is no request: %s: dead-lettered", request.request_id, error
            )
            reply = error_reply(INVALID_REQUEST, str(error))
            return Outcome(Settlement.DEAD_LETTER, reply)
        return Outcome(Settlement.ACK, self._answer(text))

    @staticmethod
    def _readable(request: Request) -> str:
        if not request.reply_to:
            raise ValueError("it names no queue to reply to")
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            raise ValueError("the body is not UTF-8") from None
        json_text.loads(text)
        return text

    def _answer(self, text: str) -> Reply:
        try:
            return ok_reply(*self._service.call(text))
        except ServiceError as refusal:
            return error_reply(refusal.code, refusal.message)

    def _failed(self, request: Request) -> Outcome:
        last = request.attempt >= self._delivery_limit
        logger.exception(
            "request %s failed on delivery %d of %d: %s",
            request.request_id,
            request.attempt,
            self._delivery_limit,
            "dead-lettered" if last else "given back to the queue",
        )
        if not last:
            return Outcome(Settlement.REQUEUE)
        reply = error_reply(INTERNAL_ERROR, "the service failed on this request")
        return Outcome(Settlement.DEAD_LETTER, reply)
