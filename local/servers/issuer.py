"""The issuer as a server of the stack: `make run ARGS=--auth`."""

import os
import sys
from collections.abc import Sequence

from local import ports
from local.apps import BACKEND, answers
from local.issuer.clients import PERSON
from local.issuer.tokens import AUDIENCE
from local.servers.base import Command, Server
from local.state import LOCAL, State


class Issuer(Server):
    """Gives tokens to anybody on this machine. `sites` are the addresses where the
    documentation is served, whose pages may sign in."""

    name = "issuer"
    stop_timeout = 5.0

    def __init__(self, state: State, port: int, sites: Sequence[str] = ()) -> None:
        super().__init__(state, port)
        self.sites = sites

    @property
    def url(self) -> str:
        """Its name in tokens, which is its address."""
        return f"http://{ports.at(self.port)}"

    @property
    def address(self) -> str:
        return self.url

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make the API ask for its tokens."""
        return {
            "AUTH_ISSUER": self.url,
            "AUTH_AUDIENCE": AUDIENCE,
            "AUTH_CLIENT_ID": PERSON,
            "AUTH_DISABLED": "false",
        }

    def command(self) -> Command:
        argv = [sys.executable, "-m", "local.issuer", ports.at(self.port)]
        env = {**os.environ, "PYTHONPATH": str(BACKEND)}
        return Command([*argv, str(self.folder), *self.sites], LOCAL.parent, env)

    def ready(self) -> bool:
        return answers(f"{self.url}/.well-known/openid-configuration")


def sites(port: int) -> list[str]:
    """The addresses at which people open a port of this machine."""
    return [f"http://{ports.at(port, host)}" for host in (ports.LOOPBACK, "localhost")]
