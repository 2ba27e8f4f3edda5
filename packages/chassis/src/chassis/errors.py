"""Every error that a call to a service may raise.

    ApplicationError
    +-- Refused                 the values cannot be processed
    |   +-- ServiceError        the service refused them, with its own code
    +-- Unavailable             a part is down or full: try again later
    |   +-- BrokerUnavailable   no connection to the broker, nothing was sent
    |   +-- NoConsumer          the queue does not exist: no service declared it
    |   +-- QueueFull           the broker refused the request
    |   +-- TooManyInFlight     this process has too many pending calls
    |   +-- OutcomeUnknown      the connection broke after the request was sent
    |   +-- ServiceFailed       the service failed on every delivery
    |   +-- ServiceUnavailable  the service could not reach a dependency
    +-- DeadlineExceeded        no answer in time; the work may have been done

Errors of vendors (kombu, py-amqp) are translated where these are raised.
"""


class ApplicationError(Exception):
    """The base class. ``code`` names the error for programs."""

    code = "internal_error"
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Refused(ApplicationError):
    """The request is well formed, but its values cannot be processed."""

    code = "refused"
    title = "The values cannot be processed"


class ServiceError(Refused):
    """A service's refusal: raised in the service, and again at its caller.

    The service understood the request and answers with this error. ``code`` is for
    programs (``unsortable_list``), ``detail`` for people. The caller receives both, so
    neither may contain a secret. Any other exception means that the service failed: the
    request is delivered again and, at the limit, dead-lettered.
    """

    title = "The service refused the values"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    def __reduce__(self) -> tuple[type["ServiceError"], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class Unavailable(ApplicationError):
    """A part that the request needs is down or full.

    ``retry_after`` is the number of seconds to wait before a retry.
    """

    code = "unavailable"
    title = "Temporarily unavailable"
    retry_after = 1


class BrokerUnavailable(Unavailable):
    """No connection to the message broker; nothing was sent."""

    code = "broker_unavailable"


class NoConsumer(Unavailable):
    """The request's queue does not exist: no service has declared it yet."""

    code = "no_consumer"


class QueueFull(Unavailable):
    """The broker refused the request because its queue is full."""

    code = "queue_full"
    retry_after = 2


class TooManyInFlight(Unavailable):
    """This process has too many calls in flight."""

    code = "too_many_in_flight"


class OutcomeUnknown(Unavailable):
    """The connection broke after sending: the work may have been done."""

    code = "outcome_unknown"


class ServiceFailed(Unavailable):
    """The service failed on every delivery; the message is now a dead letter."""

    code = "internal_error"
    title = "The service failed"
    retry_after = 30


class ServiceUnavailable(Unavailable):
    """The service could not reach a dependency; the work was not done."""

    code = "service_unavailable"


class DeadlineExceeded(ApplicationError):
    """No answer came before the deadline; the work may have been done."""

    code = "deadline_exceeded"
    title = "The service did not answer in time"
