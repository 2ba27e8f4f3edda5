"""Handles one request, from its delivery to its outcome."""

import logging
import time
from collections.abc import Iterable
from contextvars import copy_context
from typing import Protocol

from chassis import json_text
from chassis.context import (
    current_deadline,
    current_principal,
    current_request_id,
    current_task_id,
)
from chassis.errors import (
    DeadlineExceeded,
    Refused,
    ServiceFailed,
    ServiceUnavailable,
    Unavailable,
)
from chassis.logs import ACCESS, log_work, together
from chassis.rpc.wire import INVALID_REQUEST, Outcome, Request, Settlement

logger = logging.getLogger(__name__)
access = logging.getLogger(ACCESS)

TOO_MANY_VALUES = "too_many_values"
RESULT_TOO_LARGE = "result_too_large"
RESULT_NOT_JSON = "result_not_json"
MAX_VALUES = 50_000
MAX_RESULT_BYTES = 4 * 1024 * 1024
#: Values that a caller adds to the payload: a payload that passes there passes here.
ENVELOPE = 8


class JsonService(Protocol):
    """JSON in, (JSON, task type) out; called from several threads at once."""

    def call(self, data: str) -> tuple[str, str]:
        """Serve one request; ``data`` is JSON.

        Raises:
            ServiceError: the service refuses the values.
            Unavailable: a dependency (another service, for example) is down or full:
                the caller should retry later.
            Exception: the service failed. The request is delivered again and, at the
                limit, dead-lettered.
        """


class RequestHandler:
    """Calls the service and turns any result into an Outcome; never raises.

    ``delivery_limit`` is how often a request is delivered before it is dead-lettered,
    ``max_values`` how many values its JSON may have, ``max_result_bytes`` how long an
    answer may be.
    """

    def __init__(
        self,
        service: JsonService,
        delivery_limit: int,
        *,
        max_values: int = MAX_VALUES,
        max_result_bytes: int = MAX_RESULT_BYTES,
    ) -> None:
        self._service = service
        self._delivery_limit = delivery_limit
        self._max_values = max_values
        self._max_result_bytes = max_result_bytes

    def __call__(self, request: Request) -> Outcome:
        """Handle one request in its context."""
        began = time.perf_counter()
        request_id = current_request_id.set(request.request_id)
        task_id = current_task_id.set(request.task_id)
        principal = current_principal.set(request.principal)
        deadline = current_deadline.set(request.deadline)
        try:
            try:
                outcome = self._handle(request)
            except BaseException as error:
                # SystemExit too: it would end this thread and leave the message
                # unsettled.
                outcome = self._failed(request, error)
            request.context = copy_context()
            request.seconds = time.perf_counter() - began
            return outcome
        finally:
            current_deadline.reset(deadline)
            current_principal.reset(principal)
            current_task_id.reset(task_id)
            current_request_id.reset(request_id)

    def _handle(self, request: Request) -> Outcome:
        if request.is_late():
            return Outcome(Settlement.ACK, error=DeadlineExceeded.code)
        try:
            text = self._readable(request)
        except json_text.TooManyValues as error:
            return Outcome.error_reply(TOO_MANY_VALUES, str(error))
        except ValueError as error:
            logger.warning("Dead-lettered an invalid request: %s", error)
            return Outcome.error_reply(
                INVALID_REQUEST, str(error), Settlement.DEAD_LETTER
            )
        try:
            return self._answer(*self._service.call(text))
        except Refused as refusal:
            return Outcome.error_reply(refusal.code, refusal.detail)
        except Unavailable as error:
            logger.warning(
                "A dependency of the service is unavailable: %s", error.detail
            )
            return Outcome.error_reply(ServiceUnavailable.code, error.detail)

    def _readable(self, request: Request) -> str:
        if not request.reply_to:
            raise ValueError("it names no queue to reply to")
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            raise ValueError("the body is not UTF-8") from None
        json_text.check_values(request.body, self._max_values + ENVELOPE)
        json_text.loads(text)
        return text

    def _answer(self, result: str, task_type: str) -> Outcome:
        limit = self._max_result_bytes
        outcome = Outcome.answer(result, task_type)
        if len(outcome.reply or b"") > limit:
            return Outcome.error_reply(
                RESULT_TOO_LARGE, f"the result is larger than {limit} bytes"
            )
        try:
            # A large number may end as Infinity, which Python's json writes.
            json_text.loads(result)
        except json_text.NotJson as error:
            logger.warning("The service's result cannot be sent: %s", error)
            return Outcome.error_reply(
                RESULT_NOT_JSON, f"the result cannot be sent: {error}"
            )
        return outcome

    def _failed(self, request: Request, error: BaseException) -> Outcome:
        if isinstance(error, DeadlineExceeded) and request.is_late():
            logger.warning(
                "The deadline passed during a call to another service: %s",
                error.detail,
            )
            return Outcome(Settlement.ACK, error=DeadlineExceeded.code)
        is_last = request.attempt >= self._delivery_limit
        logger.exception(
            "The service failed on delivery %d of %d: %s",
            request.attempt,
            self._delivery_limit,
            "dead-lettered" if is_last else "returned to the queue",
        )
        if not is_last:
            return Outcome(Settlement.REQUEUE, error=ServiceFailed.code)
        message = "the service failed on this request"
        return Outcome.error_reply(ServiceFailed.code, message, Settlement.DEAD_LETTER)


def report(queue: str, handled: Iterable[tuple[Request, Outcome]]) -> None:
    """Log one line per request of a queue; its span contains more, if traces are kept.

    It runs in the I/O thread: threads that write lines in parallel wait for each other,
    which costs several times as much as a line.
    """
    if access.isEnabledFor(logging.INFO):
        with together():
            for request, outcome in handled:
                _report(queue, request, outcome)


def _report(queue: str, request: Request, outcome: Outcome) -> None:
    dropped = outcome.reply is None and outcome.settlement is Settlement.ACK
    message = "Dropped a late request" if dropped else "Served a request"
    if request.context is not None:
        request.context.run(
            log_work, message, queue, outcome.error or "ok", request.seconds
        )
