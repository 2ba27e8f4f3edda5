"""The system under test, behind its gateway.

It is this session's own stack, or the one at `E2E_BASE_URL`. With the latter, tests
that stop, kill or configure processes of the local launcher are skipped.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.ports import free_port
from local.servers.nginx import TEMPLATE, find_binary
from local.stack import Stack
from local.state import State
from tests.e2e.browser import Browser, find_chromium
from tests.e2e.client import Api
from tests.e2e.gateway import Gateway, NewGateway
from tests.e2e.guarded import Guarded

# Not a name of this machine: for "localhost", Swagger UI leaves out its request to the
# internet.
HOST = "kit.example"

BASE_URL = os.environ.get("E2E_BASE_URL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by the fixture `state`, on which every fixture of the launcher depends."""
    reason = "needs the processes of the local launcher"
    for item in items:
        if BASE_URL and "state" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(scope="session")
def launched(request: pytest.FixtureRequest) -> Stack | None:
    """This session's stack; None if `E2E_BASE_URL` is set."""
    stack: Stack | None = None if BASE_URL else request.getfixturevalue("stack")
    return stack


@pytest.fixture(scope="session")
def url(launched: Stack | None) -> str:
    """Address of the gateway."""
    return launched.url if launched else str(BASE_URL)


@pytest.fixture(scope="session")
def api(url: str) -> Iterator[Api]:
    """A client of the gateway."""
    client = Api(url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def guarded(state: State, stack: Stack) -> Iterator[Guarded]:
    """The API with authentication on, and its issuer; see `guarded.py`."""
    with Guarded(state, stack).running() as running:
        yield running


@pytest.fixture(scope="session")
def alice(guarded: Guarded) -> Api:
    """A user with all scopes but admin."""
    return guarded.client("alice")


@pytest.fixture(scope="session")
def bob(guarded: Guarded) -> Api:
    """Another one."""
    return guarded.client("bob")


@pytest.fixture(scope="session")
def admin(guarded: Guarded) -> Api:
    """A user with the scope admin alone."""
    return guarded.client("root", "admin")


@pytest.fixture
def nobody(guarded: Guarded) -> Iterator[Api]:
    """A client without a token."""
    client = Api(guarded.url)
    yield client
    client.close()


@pytest.fixture
def new_gateway(state: State, stack: Stack) -> Iterator[NewGateway]:
    """Starts a gateway with settings of its own; gives a client of it."""
    if find_binary() is None:
        pytest.skip("there is no nginx")
    with ExitStack() as started:

        def new(
            port: int = stack.apis[0].port,
            template: Path = TEMPLATE,
            **settings: str,
        ) -> Api:
            gateway = Gateway(state, free_port(), [port], template, settings)
            gateway.start()
            started.callback(gateway.stop)
            client = Api(gateway.url)
            started.callback(client.close)
            return client

        yield new


@pytest.fixture
def orphan(new_gateway: NewGateway) -> Api:
    """A gateway before nothing."""
    return new_gateway(free_port())


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("chromium is missing and apt-get cannot install it")
    hosts = [HOST, "127.0.0.1"]
    browser = Browser(binary, tmp_path_factory.mktemp("chromium"), hosts)
    size = {"width": 1200, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    yield browser
    browser.close()


@pytest.fixture
def site(stack: Stack, browser: Browser) -> Iterator[str]:
    """The gateway's address; afterwards the browser must have asked no other."""
    browser.asked.clear()
    browser.errors.clear()
    site = f"http://{HOST}:{urlsplit(stack.url).port}"
    yield site
    strangers = {
        url
        for url in browser.asked.values()
        if not url.startswith((f"{site}/", "data:", "blob:"))
    }
    assert browser.asked and not strangers
    assert not browser.errors
