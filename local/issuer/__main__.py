"""`python -m local.issuer HOST:PORT FOLDER SITE...`: the provider as a process.

FOLDER keeps its key and the secret of its machine client. People can sign in on the
documentation pages of each SITE, such as http://127.0.0.1:8081. It needs the backend on
PYTHONPATH, for the scopes of the API and the address of its documentation.
"""

import sys
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from local.issuer.application import create_issuer
from local.issuer.clients import Clients, kept_secret
from local.issuer.keys import SigningKey
from local.issuer.tokens import Tokens
from local.ports import at

NOT_LOOPBACK = (
    "The issuer gives a token to anybody who asks, so it listens on a loopback address "
    "only, such as 127.0.0.1:8082; not on {address}."
)


def main(address: str, folder: Path, sites: list[str]) -> int:
    """Serve until stopped; returns 2 for an address that others may reach."""
    found = urlsplit(f"//{address}")
    try:
        host, port = str(ip_address(found.hostname or "")), found.port or 0
    except ValueError:
        host, port = "", 0
    if not port or not ip_address(host).is_loopback:
        print(NOT_LOOPBACK.format(address=address), file=sys.stderr)
        return 2
    login = import_module("app.api.docs").LOGIN_URL
    scopes = import_module("app.api.security").SCOPES
    secret = kept_secret(folder)
    issuer = create_issuer(
        Tokens(f"http://{at(port, host)}", SigningKey.kept(folder), scopes),
        Clients(frozenset(f"{site}{login}" for site in sites), secret),
    )
    uvicorn.run(
        issuer, host=host, port=port, log_level="warning", limit_concurrency=100
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
