"""Which scope each endpoint of the kit asks for: docs/SECURITY.md says what they
allow."""

import re

from app.core.auth_settings import AuthSettings
from tests.echo import EchoSettings, create_echo_app

#: The first that matches counts. A service's endpoints are matched by their names.
EXPECTED = (
    (r"DELETE /api/v1/database/.*", {"records:delete"}),
    (r"GET /api/v1/database/.*", {"records:read"}),
    (r"\w+ /api/v1/webhooks.*", {"events:read", "webhooks:manage"}),
    (r"GET /api/v1/events.*", {"events:read"}),
    (r"GET /api/v1/metrics", {"metrics:read"}),
    (r"POST /api/v1/[\w-]+/process(-async)?", {"data:process"}),
    (r"GET /api/v1/[\w-]+/process-async/.*", {"records:read"}),
)


def test_each_endpoint_asks_for_the_scope_of_what_it_does() -> None:
    auth = AuthSettings(issuer="https://id.example", audience="kit")
    paths = create_echo_app(EchoSettings(auth=auth)).openapi()["paths"]
    matched = set()
    for path, methods in paths.items():
        for method, operation in methods.items():
            place = f"{method.upper()} {path}"
            for pattern, expected in EXPECTED:
                if re.fullmatch(pattern, place):
                    found = {
                        scope
                        for each in operation["security"]
                        for scopes in each.values()
                        for scope in scopes
                    }
                    assert found == expected, place
                    matched.add(pattern)
                    break
    assert matched == {pattern for pattern, _ in EXPECTED}
