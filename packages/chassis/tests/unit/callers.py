"""A caller whose brokers are the test."""

import threading
import time
from collections.abc import Callable

import pytest

from chassis.rpc import client as module
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection, replace_connections


class Bench:
    """A client and its connections, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connections = [FakeConnection() for _ in range(3)]
        asked = replace_connections(monkeypatch, module, self.connections)
        rabbitmq, rpc = RabbitMQSettings(host="h"), RpcSettings()
        self.client = RpcClient(rabbitmq, rpc)
        assert asked == [(rabbitmq, rpc, "rpc")] * 2
        self.client.start()
        assert self.client.wait_connected(WAIT)
        self.ended: list[Call] = []
        self._calls = 0
        self._done: dict[str, threading.Event] = {}

    def submit(self, *, timeout: float = 30) -> Call:
        self._calls += 1
        done = threading.Event()
        name = f"call-{self._calls}"

        def on_done(call: Call) -> None:
            self.ended.append(call)
            done.set()

        call = Call(name, "work", b"{}", {}, timeout, on_done)
        self._done[name] = done
        self.client.submit(call)
        return call

    def sent(self, connection: FakeConnection) -> Call:
        """A new call, which has left."""
        call = self.submit()
        self.wait(lambda: call.id in connection.sent)
        return call

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)

    def error(self, call: Call) -> Exception | None:
        """How it ended; waits for that."""
        assert self._done[call.id].wait(WAIT), f"{call.id} does not end"
        return call.error

    def reconnected(self) -> FakeConnection:
        """The second connection, after the loss of the first."""
        self.connections[0].lose()
        self.wait(lambda: self.connections[1].confirms and self.client.connected)
        return self.connections[1]
