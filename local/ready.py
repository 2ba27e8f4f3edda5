"""What `make run` prints when everything is up."""

import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from local import status
from local.apps import ROOT
from local.issuer.clients import MACHINE, SECRET_FILE
from local.registry import registered
from local.servers.issuer import Issuer

READY = """
Ready in {seconds:.1f} s.

{table}

  Gateway       {url}
  Swagger UI    {url}/api/v1/docs
  ReDoc         {url}/api/v1/redoc
  Logs          {logs}{tokens}

Try it:

  curl -s {trust}{url}{example}

Ctrl-C stops everything.
"""
WITH_DATA = """/api/v1/data/process -H 'Content-Type: application/json' \\
       {authorization}-d '{{"payload": "hello world", "description": "uppercase"}}'"""
WITHOUT_DATA = "/health"
AUTHORIZATION = '-H "Authorization: Bearer {token}" \\\n       '

OF_ISSUER = """
  Tokens        `make token`, or `make token USER=bob SCOPES="records:read"`
  Programs      client {client}, its secret is in {secret}"""
OF_THE_USER = "\n  Tokens        set TOKEN to one of {issuer}"


def summary(
    parts: Iterable[status.Part],
    url: str,
    *,
    seconds: float,
    logs: Path,
    colours: bool,
    env: Mapping[str, str],
    issuer: Issuer | None,
    trust: str,
) -> str:
    """The table of all parts, where to look, and a first request, as `env` has it.

    `trust` is curl's option for our own certificates."""
    token, tokens = "", ""
    if issuer is not None:
        token = f"$({token_command()})"
        secret = issuer.folder / SECRET_FILE
        tokens = OF_ISSUER.format(client=MACHINE, secret=secret)
    elif env.get("AUTH_ISSUER"):
        token = "$TOKEN"
        tokens = OF_THE_USER.format(issuer=env["AUTH_ISSUER"])
    authorization = AUTHORIZATION.format(token=token) if token else ""
    with_data = WITH_DATA.format(authorization=authorization)
    return READY.format(
        seconds=seconds,
        table=status.table([(part, status.UP) for part in parts], colours=colours),
        url=url,
        trust=trust,
        logs=logs,
        tokens=tokens,
        example=with_data if "data" in registered() else WITHOUT_DATA,
    )


def token_command() -> str:
    """Prints a token, in any folder and without make."""
    python = Path(sys.executable).relative_to(ROOT)
    return f"cd {shlex.quote(str(ROOT))} && {python} -m local token"
