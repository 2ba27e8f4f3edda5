"""Our extensions of kombu's transports, without a Redis."""

from typing import Any

import pytest
from kombu.transport import redis, virtual
from redis import Connection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ReadOnlyError

from app.infrastructure.celery_transport import (
    FreeingQoS,
    FreeingSentinelChannel,
    KeptClientChannel,
    PrimaryConnection,
)


@pytest.mark.parametrize("settle", ["ack", "reject"])
def test_a_lost_settlement_frees_the_place_and_is_an_error(
    monkeypatch: pytest.MonkeyPatch, settle: str
) -> None:
    def lose(*_: Any) -> None:
        raise ConnectionLost("gone")

    freed: list[str] = []
    monkeypatch.setattr(redis.QoS, settle, lose)
    monkeypatch.setattr(virtual.QoS, "ack", lambda _, tag: freed.append(tag))
    qos = object.__new__(FreeingQoS)
    with pytest.raises(ConnectionLost):
        getattr(qos, settle)("tag-1")
    assert freed == ["tag-1"]
    assert KeptClientChannel.QoS is FreeingSentinelChannel.QoS is FreeingQoS


def test_a_connection_to_a_replica_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ReadOnlyError("READONLY You can't write against a read only replica.")

    ended: list[object] = []
    monkeypatch.setattr(Connection, "read_response", refuse)
    connection: Any = object.__new__(PrimaryConnection)
    monkeypatch.setattr(connection, "disconnect", lambda: ended.append(connection))
    with pytest.raises(ConnectionLost):
        connection.read_response()
    assert ended == [connection]
