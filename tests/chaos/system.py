"""The system that is broken: two APIs behind nginx, two data services, a worker, beat,
two event relays, a service that receives events in two processes, and a collector. APIs
and event relays reach RabbitMQ and PostgreSQL through a port whose network can fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local import apps, install
from local.apps import ROOT, App
from local.caretaker import Caretaker
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.base import Server
from local.servers.otlp import TraceReceiver
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import State
from tests.chaos import stored
from tests.chaos.receiver import Receiver
from tests.chaos.subscriber import RECORDS
from tests.e2e.client import wait_for
from tests.relay import Relay

# Short times, so that the run is fast; their order is that of production.
READ_TIMEOUT = 14  # seconds: more than the deadlines of a call and of the database
CLOCKS = {
    "RPC_TIMEOUT_SECONDS": "6",
    "DB_TIMEOUT_SECONDS": "4",
    "IDEMPOTENCY_LEASE_SECONDS": "15",
    "CELERY_TASK_SOFT_TIME_LIMIT_SECONDS": "8",
    "CELERY_TASK_TIME_LIMIT_SECONDS": "10",
    "CELERY_VISIBILITY_TIMEOUT_SECONDS": "45",
    "CELERY_WORKER_GRACE_SECONDS": "5",
    "CELERY_SWEEP_EVERY_SECONDS": "2",
    "CELERY_SWEEP_AFTER_SECONDS": "5",
    "WEBHOOKS_TIMEOUT_SECONDS": "5",
}
CHILDREN = 2


class System:
    """Start it with `with`; then each part may be broken."""

    def __init__(self, state: State) -> None:
        self.postgres = PostgreSQL(state, free_port())
        self.redis = Redis(state, free_port())
        self.redis_keys = KeysRedis(state, free_port())
        self.rabbitmq = RabbitMQ(state, free_port(), free_port())
        self.collector = TraceReceiver(state, free_port(), free_port())
        self.to_rabbitmq = Relay(self.rabbitmq.port)
        self.to_postgres = Relay(self.postgres.port)
        self.state = state
        servers = Servers(self.postgres, self.redis, self.redis_keys, self.rabbitmq)
        env = {
            **CLOCKS,
            **self.collector.environment,
            # Every signal is exported, although only traces are read.
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "LOG_FORMAT": "json",
            "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        self.stack = Stack.create(
            state,
            servers,
            env,
            api_ports=[free_port(), free_port()],
            nginx_port=free_port(),
            instances=2,
        )
        if self.stack.nginx is None:
            raise ProcessFailed("this needs nginx on this machine")
        self.nginx = self.stack.nginx
        self.nginx.settings = {"NGINX_READ_TIMEOUT": f"{READ_TIMEOUT}s"}
        self.stack.worker.arguments += ["--concurrency", str(CHILDREN)]
        own = self.stack.env
        self.stack.relays.append(apps.event_relay("event-relay2", state, own))
        for app in [*self.stack.apis, *self.stack.relays]:
            # PostgreSQL shows the relays by their names.
            app.env = {**app.env, **self._by_relay(), "PGAPPNAME": app.name}
        self.subscribers = [self._subscriber("subscriber"), self._subscriber("other")]
        self.stack.services += self.subscribers
        self.receiver = Receiver()
        self._caretaker = Caretaker(lambda: self.parts)

    @classmethod
    def create(cls, state: State) -> "System":
        """Create the system. Raises ProcessFailed where a server is missing."""
        install.install_missing(print)
        if find_script() is None:
            raise ProcessFailed("this needs rabbitmq-server on this machine")
        return cls(state)

    def _subscriber(self, name: str) -> App:
        url = self.stack.env["MIGRATIONS_DATABASE_URL"]
        return App(
            name,
            self.state,
            ["-m", "tests.chaos.subscriber"],
            cwd=ROOT,
            env={**self.stack.env, "EVENTS_DATABASE_URL": url},
            # Of several, RabbitMQ counts the active one only.
            probe=lambda: self.rabbitmq.consumers(RECORDS.name) == 1,
        )

    def _by_relay(self) -> dict[str, str]:
        direct, relayed = f":{self.postgres.port}/", f":{self.to_postgres.port}/"
        env = self.stack.env
        urls = ("DATABASE_URL", "ASYNC_DATABASE_URL")
        return {
            "RABBITMQ_PORT": str(self.to_rabbitmq.port),
            **{name: env[name].replace(direct, relayed) for name in urls},
        }

    def __enter__(self) -> "System":
        try:
            start_all(self.servers)
            migrate(self.stack.env)
            self.to_rabbitmq.open()
            self.to_postgres.open()
            self.stack.start()
            self.receiver.open()
            self.receiver.subscribe(self.stack.api_url)
        except BaseException:
            self.__exit__()
            raise
        self._caretaker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._caretaker.stop()
        self.stack.stop()
        self.receiver.close()
        self.to_rabbitmq.__exit__(None, None, None)
        self.to_postgres.__exit__(None, None, None)
        stop_all(self.servers)

    @property
    def servers(self) -> list[Server]:
        """The third-party servers."""
        return [
            *(self.rabbitmq, self.redis, self.redis_keys),
            *(self.postgres, self.collector),
        ]

    @property
    def parts(self) -> list[Server]:
        """Every watched process."""
        return [*self.servers, *self.stack.processes]

    @property
    def logs(self) -> list[Path]:
        """Those of our processes."""
        processes = self.stack.processes
        return [each.child.log for each in processes if each is not self.nginx]

    def active_relay(self) -> App:
        """The event relay that publishes."""
        name = wait_for(lambda: stored.active_relay(self.postgres), "an active relay")
        return next(app for app in self.stack.relays if app.name == name)

    def children(self) -> list[psutil.Process]:
        """The worker's children."""
        return psutil.Process(self.stack.worker.pid).children()

    @contextmanager
    def broken(self, part: Server) -> Iterator[None]:
        """Do not restart this part: the code that breaks it starts it again."""
        self._caretaker.left_alone.add(part)
        try:
            yield
        finally:
            self._caretaker.left_alone.discard(part)

    def pause(self, seconds: float) -> None:
        """Leave the part broken for a while."""
        self._caretaker.pause(seconds)

    def leave_gateway(self, port: int) -> None:
        """Make nginx use only the other API, and return when it does."""
        self._reconfigure([each for each in self.nginx.api_ports if each != port])

    def join_gateway(self, port: int) -> None:
        """Make nginx use both APIs again."""
        self._reconfigure([*self.nginx.api_ports, port])

    def _reconfigure(self, api_ports: list[int]) -> None:
        self.nginx.api_ports = api_ports
        self.reload_gateway()

    def reload_gateway(self) -> None:
        """Send SIGHUP; returns when the old processes have answered all their
        requests."""
        leader = psutil.Process(self.nginx.pid)
        old = leader.children()
        self.nginx.reload()
        wait_for(
            lambda: not any(process.is_running() for process in old),
            "the end of nginx's old processes",
        )
