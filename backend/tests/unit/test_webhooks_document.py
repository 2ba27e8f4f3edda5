"""The receiver in `docs/WEBHOOKS.md` accepts our requests, and no others."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.models.webhooks import Webhook
from app.services.webhook_rules import ROTATION, headers_of
from app.services.webhook_service import new_secret

PAGE = Path(__file__).parents[3] / "docs" / "WEBHOOKS.md"
BODY = '{"ü": 1}'


@pytest.fixture(scope="module")
def verify() -> Callable[..., None]:
    (code,) = re.findall(r"```python\n(.+?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    verify: Callable[..., None] = found["verify"]
    return verify


def headers(secret: str, age: timedelta = timedelta(), **more: Any) -> dict[str, str]:
    webhook = Webhook(url="u", host="h", types=[], secret=secret, position=0, **more)
    return {**headers_of(webhook, "id", BODY, datetime.now(UTC) - age)}


@pytest.mark.promise(
    "docs/WEBHOOKS.md",
    "signed as [Standard Webhooks](https://www.standardwebhooks.com) wants",
)
def test_it_accepts_ours(verify: Callable[..., None]) -> None:
    old, new = new_secret(), new_secret()
    verify(old, headers(old), BODY.encode())
    until = datetime.now(UTC) + ROTATION
    both = headers(new, previous_secret=old, previous_secret_until=until)
    verify(old, both, BODY.encode())
    verify(new, both, BODY.encode())


def test_it_refuses_others(verify: Callable[..., None]) -> None:
    secret = new_secret()
    good = headers(secret)
    for wrong, body in (
        (headers(new_secret()), BODY),
        (good, BODY + " "),
        (good | {"webhook-id": "other"}, BODY),
        (headers(secret, timedelta(minutes=6)), BODY),
    ):
        with pytest.raises(ValueError):
            verify(secret, wrong, body.encode())
