"""The caller whose brokers are the test."""

from collections.abc import Iterator

import pytest

from tests.unit.broker import FakeConnection
from tests.unit.callers import Bench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    bench.client.close()


@pytest.fixture
def first(bench: Bench) -> FakeConnection:
    return bench.connections[0]
