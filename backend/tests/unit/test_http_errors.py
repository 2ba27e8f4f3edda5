"""Failed requests to other servers: who is to blame, and what the client is told."""

import httpx2
import pytest

from app.core.exceptions import DeadlineExceeded, RemoteUnavailable, TooManyInFlight
from app.infrastructure.http import translate_http_errors


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        # Bugs of ours: an URL or a header that cannot be sent.
        (httpx2.UnsupportedProtocol("ftp"), httpx2.UnsupportedProtocol),
        (httpx2.LocalProtocolError("header"), httpx2.LocalProtocolError),
        (httpx2.InvalidURL("url"), httpx2.InvalidURL),
        # Our own bound, not the other server's.
        (httpx2.PoolTimeout(""), TooManyInFlight),
        *(
            (httpx2.ConnectTimeout(""), DeadlineExceeded),
            (TimeoutError(), DeadlineExceeded),
        ),
        (httpx2.ReadTimeout(""), DeadlineExceeded),
        *(
            (httpx2.ConnectError(""), RemoteUnavailable),
            (httpx2.ReadError(""), RemoteUnavailable),
        ),
        (httpx2.RemoteProtocolError(""), RemoteUnavailable),
        (httpx2.TooManyRedirects(""), RemoteUnavailable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_only_the_other_server_s_failures_are_outages(
    error: Exception, wanted: type[Exception]
) -> None:
    with pytest.raises(Exception) as raised:
        with translate_http_errors("other.example"):
            raise error
    assert type(raised.value) is wanted
