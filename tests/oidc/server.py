"""oidc-provider of npm, a certified OpenID provider, as a process.

It is installed into ``.local/oidc`` from the lock file beside this module.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request

import pytest

from local import install, ports
from local.apps import answers
from local.servers.base import Command, Server
from local.state import LOCAL, State

HERE = Path(__file__).parent
INSTALLED = LOCAL / "oidc"
LOCK = "package-lock.json"
NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
TIMEOUT = 90.0  # seconds

AUDIENCE = "kit"
NODE = {"nodejs", "npm"}
SECRET = "a secret of the tests"


@cache
def why_missing() -> str | None:
    """Install what is missing where that asks nothing; None when all is there."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "oidc.lock").open("a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        install.install_missing(print, for_tests=True)
        if NODE & {*install.missing_packages(for_tests=True)}:
            return "node or npm is missing and apt-get cannot install it"
        return None if _is_installed() else _install()


def _is_installed() -> bool:
    done = INSTALLED / "installed.json"
    return done.exists() and done.read_bytes() == (HERE / LOCK).read_bytes()


def _install() -> str | None:
    for name in ("package.json", LOCK):
        shutil.copy(HERE / name, INSTALLED)
    try:
        subprocess.run(
            NPM, cwd=INSTALLED, check=True, capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "npm cannot install oidc-provider in time"
    except subprocess.CalledProcessError as error:
        return f"npm cannot install oidc-provider: {error.stderr.decode()[-500:]}"
    shutil.copy(HERE / LOCK, INSTALLED / "installed.json")
    return None


class OidcProvider(Server):
    """``keys`` are the names of its keys, the signing one first; a change counts from
    the next start on. ``redirects`` are where browsers come back to."""

    name = "oidc-provider"

    def __init__(
        self, state: State, *, scopes: Sequence[str], redirects: Sequence[str] = ()
    ) -> None:
        super().__init__(state, ports.free_port())
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.keys = ["one"]
        self._scopes = " ".join(scopes)
        self._redirects = list(redirects) or ["http://127.0.0.1/back"]

    def command(self) -> Command:
        settings = self.folder / "settings.json"
        named = {"issuer": self.issuer, "audience": AUDIENCE, "secret": SECRET}
        named |= {"folder": str(self.folder), "scopes": self._scopes}
        lists = {"keys": self.keys, "redirects": self._redirects}
        settings.write_text(json.dumps(named | lists))
        # Node looks for packages beside the program.
        program = shutil.copy(HERE / "provider.mjs", INSTALLED)
        argv = [str(shutil.which("node")), str(program), str(settings)]
        return Command(argv, INSTALLED, dict(os.environ))

    def ready(self) -> bool:
        return answers(f"{self.issuer}/.well-known/openid-configuration")

    def token(self, scope: str = "") -> str:
        """A token of the service account ``orders``, by client credentials."""
        form = {"grant_type": "client_credentials", "scope": scope or self._scopes}
        form |= {"client_id": "orders", "client_secret": SECRET}
        request = Request(f"{self.issuer}/token", urlencode(form).encode())
        with ports.DIRECT.open(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return str(found["access_token"])


def start_oidc_provider(provider: OidcProvider) -> None:
    """Start it; skips the test where it cannot be installed."""
    if (reason := why_missing()) is not None:
        pytest.skip(reason)
    provider.start()


def with_key(name: str, token: str) -> str:
    """The token as if another key had signed it."""
    head = {"alg": "RS256", "typ": "at+jwt", "kid": name}
    coded = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
    return f"{coded}.{token.partition('.')[2]}"
