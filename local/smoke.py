"""`smoke`: asks the running stack for each of its promises once."""

import subprocess
import sys
from pathlib import Path

from local import status, tokens
from local.apps import BACKEND
from local.issuer.tokens import ADMIN
from local.servers.issuer import Issuer
from local.servers.nginx import Nginx
from local.state import LOCAL
from local.tls import Tls

USER = "smoke"
CONTAINERS = "http://127.0.0.1:8081"  # the default of GATEWAY_PORT


def run(arguments: list[str], path: Path = LOCAL / "run") -> int:
    """Run the backend's smoke test; its exit code.

    Without arguments it asks the stack of `make run`, with a token if that needs one;
    without such a stack, the containers.
    """
    words, token = list(arguments), None
    if not words:
        words, token = _of_stack(path)
    return subprocess.run(
        [sys.executable, "-m", "app.smoke", *words],
        cwd=BACKEND,
        input=token,
        text=True,
    ).returncode


def _of_stack(path: Path) -> tuple[list[str], str | None]:
    """The arguments for the running stack, and its token."""
    parts = {part.name: part for part in status.noted(path)}
    api = next((part for name, part in parts.items() if name.startswith("api")), None)
    gateway = parts.get(Nginx.name, api)
    if gateway is None:
        return [CONTAINERS], None
    words = [gateway.address.partition(",")[0]]  # before a debugger's
    if gateway.tls:
        words += ["--ca-file", str(Tls(Path(gateway.tls)).ca)]
    if Issuer.name not in parts:
        return words, None
    # On standard input: other users can see the arguments of a process.
    words += ["--token-file", "/dev/stdin"]
    # The issuer does not know the scopes that endpoints of a team need.
    return words, tokens.get_token(parts[Issuer.name].address, USER, [ADMIN])
