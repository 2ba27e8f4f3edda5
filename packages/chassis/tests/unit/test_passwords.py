"""Which passwords everybody knows, alone and in URLs."""

import pytest
from pydantic import SecretStr

from chassis.passwords import ROLE, is_known_secret


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("welcome1", True),
        ("guest", True),
        (ROLE, True),
        ("", True),
        ("Welcome1", False),
        ("amqp://guest:guest@h", True),
        ("amqp://api:3f9a@h", False),
        ("amqp://api:%77elcome1@h", True),
        ("amqp://api:@h", True),
        ("amqp://h/v", True),  # guest/guest
        ("amqps://h/v", True),
        ("amqps://h/v?auth_mechanism=external", False),
        ("amqps://h/v?auth_mechanism=plain", True),
        ("amqps://h/v?auth_mechanism=external&password=welcome1", True),
        ("redis://h/0", False),
        ("postgresql://h/d", False),  # perhaps pgpass has it
        ("postgresql://u@h/d", False),
        ("postgresql://u:fastapi@h/d", True),
        ("postgresql://h/d?user=u&password=fastapi", True),
        ("postgresql://h/d?user=u&password=", True),
        ("postgresql://h/d?user=u&password=3f9a", False),
        ("postgresql://u:3f9a@h/d?password=postgres", True),
    ],
)
def test_what_production_refuses(secret: str, expected: bool) -> None:
    assert is_known_secret(SecretStr(secret)) is expected
