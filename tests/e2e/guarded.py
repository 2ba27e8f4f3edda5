"""The API with authentication on, beside the session's open one.

It shares the servers, the worker and the services with `stack`, and so the rows. Use it
by the fixtures of `conftest.py`; the first test that asks for one starts it (4 s):

    def test_records_have_an_owner(alice: Api, bob: Api, admin: Api) -> None:
        record = alice.process("mine")
        assert bob.http.get(f"{RECORDS}/{record['task_id']}").status_code == 404

`alice` and `bob` have every scope but admin, `admin` has that one alone, and `nobody`
sends no token. For other scopes and for tokens ask `guarded`:

    reader = guarded.client("carol", "records:read")
    token = guarded.token("alice", "data:process admin")
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from local import apps
from local.ports import free_port
from local.servers.issuer import Issuer, sites
from local.servers.nginx import Nginx, find_binary
from local.stack import Stack
from local.state import State
from local.tokens import get_token
from tests.e2e.client import Api


class GuardedGateway(Nginx):
    """In front of the API that asks for tokens."""

    name = "guarded-gateway"


class Guarded:
    """`url` is the gateway's address, or the API's without nginx."""

    def __init__(self, state: State, stack: Stack) -> None:
        api_port, port = free_port(), free_port()
        pages = [*sites(api_port), *sites(port)]
        self.issuer = Issuer(state, free_port(), pages)
        env = {**stack.env, **self.issuer.environment}
        self.api = apps.api("guarded-api", state, env, api_port)
        gateway = GuardedGateway(state, port, [api_port])
        self.gateway = gateway if find_binary() else None
        self.url = gateway.url if self.gateway else self.api.address
        self._clients = ExitStack()

    def token(self, user: str, scopes: str = "") -> str:
        """A token with these scopes; without any, with all but admin."""
        return get_token(self.issuer.url, user, scopes.split())

    def client(self, user: str, scopes: str = "") -> Api:
        """A client with a token of this user."""
        client = Api(self.url, self.token(user, scopes))
        self._clients.callback(client.close)
        return client

    @contextmanager
    def running(self) -> Iterator["Guarded"]:
        """Start, and stop at the end of the block."""
        with ExitStack() as started, self._clients:
            for server in (self.issuer, self.api, self.gateway):
                if server is not None:
                    server.start()
                    started.callback(server.stop)
            yield self
