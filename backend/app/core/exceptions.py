"""Every error that the kit raises on purpose.

    ApplicationError
    +-- Refused              the values cannot be processed
    |   +-- ServiceRefused   ... a service said so, with a code
    |   +-- KeyReused        another request had this idempotency key
    +-- Malformed            a header that cannot be read
    +-- NotFound             no such record
    +-- Conflict             the present state does not allow it
    |   +-- KeyInFlight      a request with this idempotency key is being worked on
    |   +-- AlreadyStored    a record with that id exists
    +-- Unavailable          a part is down or full: try again later
    |   +-- DatabaseUnavailable
    |   +-- KeyStoreUnavailable  no Redis to look an idempotency key up in
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


class KeyReused(Refused):
    """The idempotency key belongs to a request with other content."""

    code = "idempotency_key_reused"
    title = "The key belongs to another request"


class Malformed(ApplicationError):
    """A header that cannot be read."""

    code = "malformed_header"
    title = "Malformed header"


class Conflict(ApplicationError):
    """The present state does not allow it."""

    code = "conflict"
    title = "Conflict"


class KeyInFlight(Conflict):
    """A request with this idempotency key is being worked on."""

    code = "idempotency_key_in_flight"
    title = "The first request is still being worked on"
    retry_after = 1


class AlreadyStored(Conflict):
    """A record with that id exists; nothing was stored."""

    code = "already_stored"


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


class KeyStoreUnavailable(Unavailable):
    """Redis did not answer; whether the key was used before cannot be said."""

    code = "idempotency_unavailable"


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
