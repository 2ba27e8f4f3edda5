"""`secrets`: a `.env` with the defaults of `.env.example` and random passwords."""

import os
import re
import secrets
import sys
from pathlib import Path

from local.apps import ROOT

EXAMPLE = ROOT / ".env.example"
TARGET = ROOT / ".env"


def fresh(example: str) -> str:
    """The example's text with random passwords.

    The database password appears in URLs and, for the server, in POSTGRES_PASSWORD: it
    is the same in all of them.
    """
    database = secrets.token_urlsafe(24)
    text = re.sub(
        r"^(RABBITMQ_PASSWORD=).*$",
        lambda found: found[1] + secrets.token_urlsafe(24),
        example,
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"^(POSTGRES_PASSWORD=).*$",
        lambda found: found[1] + database,
        text,
        flags=re.MULTILINE,
    )
    return re.sub(
        r"^((?:ASYNC_)?DATABASE_URL=[^:]+://[^:@]+:)[^@]*@",
        lambda found: f"{found[1]}{database}@",
        text,
        flags=re.MULTILINE,
    )


def write(target: Path = TARGET, example: Path = EXAMPLE) -> int:
    """Write the file, readable by its owner only; returns 1 if it already exists."""
    text = fresh(example.read_text())
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target.name} already exists; left it unchanged.", file=sys.stderr)
        return 1
    with open(descriptor, "w") as file:
        file.write(text)
    print(
        f"Wrote {target.name} with random passwords. Set ENVIRONMENT=production in it."
    )
    return 0
