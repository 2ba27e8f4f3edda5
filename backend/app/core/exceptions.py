"""Every error that the backend raises on purpose.

To those of ``chassis.errors``, which calls to services raise, it adds:

    ApplicationError
    +-- Refused
    |   +-- KeyReused        another request used this idempotency key
    |   +-- Unstorable       PostgreSQL does not accept a value
    |   +-- WebhookUrlRefused  webhooks must not go to this URL
    +-- Malformed            a header is invalid
    +-- Unauthenticated      no valid token
    +-- Forbidden            the token's scopes do not allow it
    +-- CrossSite            a page of another site asks
    +-- RateLimited          the caller has used up its requests
    |   +-- TooManyStreams   the caller has too many streams open
    +-- NotFound             no such record
    +-- Conflict             the current state does not allow it
    |   +-- KeyInFlight      a request with this idempotency key is in progress
    |   +-- AnswerNotKept    the answer to this request is stored nowhere
    |   +-- AlreadyStored    a row with that id, or another unique value, exists
    |   +-- BrokenReference  a row refers to one that is not there, or that would go
    |   +-- TooManyWebhooks  the caller has as many as allowed
    +-- Unavailable
        +-- TooBusy          this process has no capacity left
        +-- DatabaseUnavailable
        +-- DatabaseBusy         another transaction was in the way
        +-- KeyStoreUnavailable  the Redis of idempotency keys is down or full
        +-- RemoteUnavailable    another HTTP server is down or fails
        +-- ProviderUnavailable  the identity provider is down: no token can be verified

Errors of vendors (redis, SQLAlchemy, httpx2) are translated where these are raised.
``app.api.errors`` alone maps them to HTTP.
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
    "CrossSite",
    "DatabaseBusy",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "Forbidden",
    "KeyInFlight",
    "KeyReused",
    "KeyStoreUnavailable",
    "Malformed",
    "NoConsumer",
    "NotFound",
    "OutcomeUnknown",
    "ProviderUnavailable",
    "QueueFull",
    "RateLimited",
    "Refused",
    "RemoteUnavailable",
    "ServiceError",
    "ServiceFailed",
    "TooBusy",
    "TooManyInFlight",
    "TooManyStreams",
    "TooManyWebhooks",
    "Unauthenticated",
    "Unavailable",
    "Unstorable",
    "WebhookUrlRefused",
]


class KeyReused(Refused):
    """The idempotency key belongs to a request with other content."""

    code = "idempotency_key_reused"
    title = "The key was used for another request"


class Unstorable(Refused):
    """A value is too long or out of range for its column, or contains U+0000."""

    code = "unstorable_value"
    title = "The values cannot be stored"


class WebhookUrlRefused(Refused):
    """Webhooks must not go to this URL."""

    code = "webhook_url_refused"
    title = "This URL is not accepted"


class Malformed(ApplicationError):
    """A header is invalid."""

    code = "malformed_header"
    title = "Malformed header"


class Unauthenticated(ApplicationError):
    """The request has no token, or one that is not valid.

    Args:
        is_token: whether it had a token.
    """

    code = "unauthenticated"
    title = "Authentication required"

    def __init__(self, detail: str, *, is_token: bool = False) -> None:
        super().__init__(detail)
        self.challenge = "Bearer"
        if is_token:
            self.code, self.title = "invalid_token", "The token is not valid"
            self.challenge = (
                f'Bearer error="invalid_token", error_description="{detail}"'
            )


class Forbidden(ApplicationError):
    """The token is valid, but has none of the scopes that allow the request."""

    code = "insufficient_scope"
    title = "Not allowed"

    def __init__(self, detail: str, *, scope: str | None = None) -> None:
        super().__init__(detail)
        needed = f', scope="{scope}"' if scope else ""
        self.challenge = f'Bearer error="insufficient_scope"{needed}'


class RateLimited(ApplicationError):
    """The caller has used up its requests for this time.

    Args:
        retry_after: the seconds after which the next request is accepted.
    """

    code = "rate_limited"
    title = "Too Many Requests"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyStreams(RateLimited):
    """The caller has as many streams of events open as one may have in a process."""

    code = "too_many_streams"
    title = "Too many streams"


class CrossSite(ApplicationError):
    """A browser opens a WebSocket for a page whose origin CORS_ORIGINS does not
    list."""

    code = "cross_site"
    title = "Not allowed for pages of this origin"


class NotFound(ApplicationError):
    """Nothing is stored under that id."""

    code = "not_found"
    title = "Not found"


class Conflict(ApplicationError):
    """The current state does not allow it."""

    code = "conflict"
    title = "Conflict"


class KeyInFlight(Conflict):
    """A request with this idempotency key is still being processed."""

    code = "idempotency_key_in_flight"
    title = "The first request is still being processed"
    retry_after = 1


class AnswerNotKept(Conflict):
    """The request was processed before, but its answer is no longer stored."""

    code = "idempotency_answer_not_kept"
    title = "The first answer was not kept"


class AlreadyStored(Conflict):
    """A row with that id, or another unique value, exists; nothing was stored."""

    code = "already_stored"


class BrokenReference(Conflict):
    """A referenced row is missing, or the row to delete is still referenced."""

    code = "broken_reference"


class TooManyWebhooks(Conflict):
    """The owner has as many webhooks as allowed; delete one."""

    code = "too_many_webhooks"


class TooBusy(Unavailable):
    """This process has no capacity left: too many bytes held, or too much large
    work."""

    code = "too_busy"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer; nothing of the request was stored."""

    code = "database_unavailable"


class DatabaseBusy(Unavailable):
    """A deadlock, a serialization failure or a lock that was not free in time: the same
    again may succeed. Nothing of the request was stored."""

    code = "database_busy"


class KeyStoreUnavailable(Unavailable):
    """Redis did not answer or is full: the key can be neither looked up nor claimed."""

    code = "idempotency_unavailable"


class RemoteUnavailable(Unavailable):
    """Another HTTP server cannot be reached or reports a failure."""

    code = "remote_unavailable"
    retry_after = 5


class ProviderUnavailable(Unavailable):
    """The identity provider did not answer, and its keys are not known or too old."""

    code = "identity_provider_unavailable"
    retry_after = 10
