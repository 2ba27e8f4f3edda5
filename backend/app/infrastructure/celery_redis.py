"""Redis for Celery, at less cost for each task than by its own classes.

Both stand in for classes of kombu and Celery under the same URLs; see ``install``.
"""

import logging
import os
import time
from queue import Empty
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import transport
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import loads
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

SCHEMES = ("redis", "rediss")

# Takes the oldest message of the first queue that has one, and notes in the same step
# that a worker holds it. It does as QoS.append of kombu, which comes a round trip after
# the pop: a worker that is killed in between has lost the message.
# KEYS: the queues, unacked_index, unacked. ARGV: the time, and maybe the tag of a
# message that is acknowledged by the way.
# Answer: number of the queue, message, and 1 if it is noted: Lua's JSON is stricter
# than Python's, and what it cannot read is left to kombu.
TAKE = """
local index, unacked = KEYS[#KEYS - 1], KEYS[#KEYS]

local function note(message)
    local properties = cjson.decode(message).properties
    local tag, info = properties.delivery_tag, properties.delivery_info
    local place = cjson.encode({info.exchange, info.routing_key})
    redis.call('ZADD', index, ARGV[1], tag)
    redis.call('HSET', unacked, tag, '[' .. message .. ',' .. place:sub(2))
end

if ARGV[2] then
    redis.call('ZREM', index, ARGV[2])
    redis.call('HDEL', unacked, ARGV[2])
end
for number = 1, #KEYS - 2 do
    local message = redis.call('RPOP', KEYS[number])
    if message then
        return {number, message, pcall(note, message) and 1 or 0}
    end
end
return false
"""


def install(app: Celery) -> None:
    """Have ``app`` keep its results by ResultBackend, and this process its messages
    by Transport."""
    app.loader.override_backends = {
        scheme: f"{__name__}:ResultBackend" for scheme in SCHEMES
    }
    for scheme in SCHEMES:
        transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class Silent:
    """A connection on which Redis answers nothing, so that nobody waits for it.

    What is sent may be lost with Redis or the connection.
    """

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._pid = 0

    def send(self, *commands: tuple[Any, ...]) -> None:
        """Send commands; on a new connection if the old one turns out to be broken.

        Raises:
            redis.ConnectionError, OSError: Redis is not there.
        """
        for last in (False, True):
            try:
                connection = self._connected()
                packed = connection.pack_commands(commands)
                connection.send_packed_command(packed, check_health=False)
                return
            except (RedisConnectionError, OSError):
                self._connection = None
                if last:
                    raise

    def _connected(self) -> Any:
        if self._connection is None or self._pid != os.getpid():
            connection = self._pool.make_connection()
            connection.connect()
            connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            self._connection, self._pid = connection, os.getpid()
        return self._connection


class QoS(kombu_redis.QoS):
    """Acknowledges in silence: one that is lost lets the task run once more.

    ``noted`` is the tag of the message that is being delivered, if TAKE has noted it.
    """

    noted: str | None = None
    _silent: Silent | None = None

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note that this worker holds a message, unless that is done."""
        if delivery_tag == self.noted:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message: by asking for the next, if it is time for that."""
        channel: Any = self.channel
        virtual.QoS.ack(self, delivery_tag)
        if channel.take_next(delivery_tag):
            return
        if self._silent is None:
            with channel.conn_or_acquire() as client:
                self._silent = Silent(client)
        self._silent.send(
            ("ZREM", self.unacked_index_key, delivery_tag),
            ("HDEL", self.unacked_key, delivery_tag),
        )


class Channel(kombu_redis.Channel):
    """Takes a message in one step; only if there is none, waits as kombu does (BRPOP).

    It keeps its client; kombu makes a new one, of 80 µs, for each command.
    """

    QoS = QoS
    _kept: Any = None
    _notes = True
    _taking: list[str] | None = None  # the queues of a TAKE that is on its way

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consumers that acknowledge nothing hold nothing: no TAKE for them."""
        self._notes = self._notes and not no_ack
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def take_next(self, acked: str) -> bool:
        """Send TAKE now instead of at the poller's next turn, with an acknowledgement.
        Whether it was sent: not if one is on its way, or nothing is wanted.

        Raises:
            redis.ConnectionError, OSError: Redis is not there.
        """
        channel: Any = self
        if channel.connection is None:  # it is closed; the task ended after that
            return False
        poller, client = channel.connection.cycle, channel.client
        if (
            channel._in_poll
            or channel._closing
            or not (self._notes and channel.active_queues)
            or not channel.qos.can_consume()
            or not poller._client_registered(channel, client, "BRPOP")
        ):
            return False
        self._take(acked)
        return True

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Called by kombu's poller when there is room for a message: send TAKE."""
        channel: Any = self  # kombu has no types
        if self._notes and channel.active_queues:
            self._take()
        else:
            super()._brpop_start(timeout)  # type: ignore[misc]

    def _take(self, *acked: str) -> None:
        channel: Any = self
        queues = channel._queue_cycle.consume(len(channel.active_queues))
        steps = channel.priority_steps
        keys = [channel._q_for_pri(queue, step) for step in steps for queue in queues]
        self._taking = queues * len(steps)
        keys += [channel.unacked_index_key, channel.unacked_key]
        connection = channel._in_poll = channel.client.connection
        channel._brpop_sent_at = time.monotonic()
        # With its text each time: it is short, and Redis forgets what it had loaded.
        now = time.time()
        connection.send_command("EVAL", TAKE, len(keys), *keys, now, *acked)

    def _brpop_read(self, **options: Any) -> bool:
        """Called by kombu's poller when Redis has answered.

        Raises:
            Empty: there was no message.
        """
        channel: Any = self
        queues, self._taking = self._taking, None
        if queues is None:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]
        connection, channel._in_poll = channel._in_poll, None
        try:
            answer = channel.client.parse_response(connection, "EVAL")
        except channel.connection_errors:
            connection.disconnect()  # the poller makes another
            raise
        if answer is None:
            if not channel._closing:
                super()._brpop_start()  # type: ignore[misc]
            raise Empty
        number, text, noted = answer
        message = loads(text.decode())
        if noted:
            channel.qos.noted = message["properties"]["delivery_tag"]
        channel.connection._deliver(message, queues[number - 1])
        return True

    def _create_client(self, asynchronous: bool = False) -> Any:
        create: Any = super()._create_client  # type: ignore[misc]
        if asynchronous:
            return create(asynchronous=True)
        if self._kept is None:
            self._kept = create()
        return self._kept


class Transport(kombu_redis.Transport):
    """kombu's, with that channel."""

    Channel = Channel


class ResultBackend(RedisBackend):
    """Sends each state of a task in silence.

    Celery's own asks for the state before, and waits twice. Here the record tells how
    a task ended: a state in Redis adds detail while it is under way, and may be lost.
    """

    _silent: Silent | None = None

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        meta = self._get_result_meta(  # type: ignore[attr-defined]
            result=result, state=state, traceback=traceback, request=request
        )
        meta["task_id"] = task_id
        key, value = self.get_key_for_task(task_id), self.encode(meta)
        expires = self.expires  # type: ignore[attr-defined]
        keep = ("SETEX", key, expires) if expires else ("SET", key)
        if self._silent is None:
            self._silent = Silent(self.client)
        try:
            self._silent.send((*keep, value), ("PUBLISH", key, value))
        except (RedisConnectionError, OSError) as error:
            logger.warning("Redis did not take a task's state: %r", error)
        return result
