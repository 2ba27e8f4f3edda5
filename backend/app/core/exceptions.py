"""Every error that the kit raises on purpose.

    ApplicationError
    +-- Refused              the values cannot be processed
    |   +-- ServiceRefused   ... a service said so, with a code
    +-- NotFound             no such record
    +-- Unavailable          a part is down or full: try again later
    |   +-- DatabaseUnavailable
    |   +-- BrokerUnavailable    no connection to RabbitMQ, nothing was sent
    |   +-- NoConsumer           the queue does not exist: no service has declared it
    |   +-- QueueFull            the broker refused the request
    |   +-- TooManyInFlight      this process has enough calls pending
    |   +-- OutcomeUnknown       the connection broke after the request was sent
    |   +-- ServiceFailed        the service failed on every delivery
    +-- DeadlineExceeded     no answer in time; the service may still have worked

Names of vendors (kombu, redis, SQLAlchemy) end where these are raised. HTTP
enters once, in ``app.api.errors``.
"""


class ApplicationError(Exception):
    """Base of the tree. ``code`` names the error for machines."""

    code = "internal_error"
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Refused(ApplicationError):
    """The request is well formed, but its values cannot be processed."""

    code = "refused"
    title = "The values cannot be processed"


class ServiceRefused(Refused):
    """A service answered with an error code of its own."""

    title = "The service refused the values"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFound(ApplicationError):
    """Nothing is stored under that id."""

    code = "not_found"
    title = "Not found"


class Unavailable(ApplicationError):
    """A part that the request needs is down or full.

    ``retry_after`` is the number of seconds after which a retry makes sense.
    """

    code = "unavailable"
    title = "Temporarily unavailable"
    retry_after = 1


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer; nothing of the request was stored."""

    code = "database_unavailable"


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
    """This process already waits for as many answers as it may."""

    code = "too_many_in_flight"


class OutcomeUnknown(Unavailable):
    """The connection broke after sending: the service may have done the work."""

    code = "outcome_unknown"


class ServiceFailed(Unavailable):
    """The service failed on every delivery; the message is a dead letter now."""

    code = "internal_error"
    title = "The service failed"
    retry_after = 30


class DeadlineExceeded(ApplicationError):
    """No answer came before the deadline; the service may have done the work."""

    code = "deadline_exceeded"
    title = "The service did not answer in time"
