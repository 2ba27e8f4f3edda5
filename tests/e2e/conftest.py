"""The system under test, behind nginx."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.e2e.client import Api


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    """A client of the gateway."""
    client = Api(stack.url)
    yield client
    client.close()
