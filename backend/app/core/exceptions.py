"""Every error that the backend raises on purpose.

To those of ``chassis.errors``, which calls to services raise, it adds:

    ApplicationError
    +-- Refused
    |   +-- KeyReused        another request had this idempotency key
    |   +-- Unstorable       PostgreSQL takes no such value
    +-- Malformed            a header that cannot be read
    +-- NotFound             no such record
    +-- Conflict             the present state does not allow it
    |   +-- KeyInFlight      a request with this idempotency key is being worked on
    |   +-- AnswerNotKept    the request was done, and its answer was too long to keep
    |   +-- AlreadyStored    a row with that id, or another unique value, exists
    |   +-- BrokenReference  a row refers to one that is not there, or that would go
    +-- Unavailable
        +-- TooBusy          this process holds or does as much as it may
        +-- DatabaseUnavailable
        +-- KeyStoreUnavailable  the Redis of idempotency keys is away or full
        +-- RemoteUnavailable    another server, asked over HTTP, is down or fails

Names of vendors (redis, SQLAlchemy, httpx2) end where these are raised. HTTP enters
once, in ``app.api.errors``.
"""

from chassis.errors import (
    ApplicationError,
    BrokerUnavailable,
    DeadlineExceeded,
    NoConsumer,
    OutcomeUnknown,
    QueueFull,
    Refused,
    ServiceError,
    ServiceFailed,
    TooManyInFlight,
    Unavailable,
)

__all__ = [
    "AlreadyStored",
    "ApplicationError",
    "BrokenReference",
    "BrokerUnavailable",
    "Conflict",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "KeyInFlight",
    "KeyReused",
    "KeyStoreUnavailable",
    "Malformed",
    "NoConsumer",
    "NotFound",
    "OutcomeUnknown",
    "QueueFull",
    "Refused",
    "RemoteUnavailable",
    "ServiceError",
    "ServiceFailed",
    "TooBusy",
    "TooManyInFlight",
    "Unavailable",
    "Unstorable",
]


class KeyReused(Refused):
    """The idempotency key belongs to a request with other content."""

    code = "idempotency_key_reused"
    title = "The key belongs to another request"


class Unstorable(Refused):
    """A value is too long or out of range for its column, or text with U+0000."""

    code = "unstorable_value"
    title = "The values cannot be stored"


class Malformed(ApplicationError):
    """A header that cannot be read."""

    code = "malformed_header"
    title = "Malformed header"


class NotFound(ApplicationError):
    """Nothing is stored under that id."""

    code = "not_found"
    title = "Not found"


class Conflict(ApplicationError):
    """The present state does not allow it."""

    code = "conflict"
    title = "Conflict"


class KeyInFlight(Conflict):
    """A request with this idempotency key is being worked on."""

    code = "idempotency_key_in_flight"
    title = "The first request is still being worked on"
    retry_after = 1


class AnswerNotKept(Conflict):
    """The request was done before; its answer was too long to be kept."""

    code = "idempotency_answer_not_kept"
    title = "The first answer was not kept"


class AlreadyStored(Conflict):
    """A row with that id, or another unique value, exists; nothing was stored."""

    code = "already_stored"


class BrokenReference(Conflict):
    """A row that is referred to is missing, or would go; nothing was changed."""

    code = "broken_reference"


class TooBusy(Unavailable):
    """This process holds as many bytes as it may, or has enough large work to do."""

    code = "too_busy"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer; nothing of the request was stored."""

    code = "database_unavailable"


class KeyStoreUnavailable(Unavailable):
    """Redis did not answer or is full: the key can be neither looked up nor claimed."""

    code = "idempotency_unavailable"


class RemoteUnavailable(Unavailable):
    """Another server, asked over HTTP, cannot be reached or says that it fails."""

    code = "remote_unavailable"
    retry_after = 5
