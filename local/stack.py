"""The whole stack: servers, and our own processes over them.

servers = Servers.create(state, say)      # nothing runs yet
servers.start()
stack = Stack.create(state, servers, environment(...))
stack.migrate(); stack.start(); ...; stack.stop()
servers.stop()
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from local import apps, ports, settings
from local.apps import BACKEND, App
from local.process import ProcessFailed
from local.registry import registered
from local.servers.base import Server
from local.servers.broker import Broker, names_rabbitmq
from local.servers.nginx import Nginx
from local.servers.nginx import find_binary as find_nginx
from local.servers.nginx import gateway_settings
from local.servers.postgres import DATABASE, PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis
from local.state import State
from local.tls import Tls, scheme

Say = Callable[[str], None]

NO_RABBITMQ = (
    "RabbitMQ is not on this machine and cannot be installed without a question.\n"
    "RPC goes over Redis instead. Missing then: events for services, the dead-letter\n"
    "queue, queue limits, and the immediate answer when no service is there (calls\n"
    "wait for their deadline).\n"
    "To have it, install the package rabbitmq-server, and start again."
)
NO_NGINX = (
    "nginx is not on this machine and cannot be installed without a prompt.\n"
    "Continuing without it: call the API directly."
)

UNKNOWN = """The database is at revision {revision}, which backend/alembic/versions
lacks: it is of another branch, or was removed. Take the code that has it, and run
`make downgrade TO=...` there. `make clean` deletes the local data instead."""


@dataclass
class Servers:
    """PostgreSQL, two Redis servers and a broker; `rabbitmq` is None for RPC over
    Redis."""

    postgres: PostgreSQL
    redis: Redis
    redis_keys: KeysRedis
    rabbitmq: Broker | None

    @classmethod
    def create(cls, state: State, say: Say) -> "Servers":
        """Servers for `run`, on standard ports if these are free."""
        rabbitmq: Broker | None
        if names_rabbitmq():
            from local.servers.external import ExternalRabbitMQ

            rabbitmq = external = ExternalRabbitMQ()
            external.require()
            say(f"using the RabbitMQ at {rabbitmq.endpoint}")
        elif find_script():
            port = announced("RabbitMQ", 5672, say)
            management = announced("RabbitMQ management", 15672, say)
            rabbitmq = RabbitMQ(state, port, management)
        else:
            rabbitmq = None
            say(NO_RABBITMQ)
        return cls(
            PostgreSQL(state, announced("PostgreSQL", 5432, say)),
            Redis(state, announced("Redis", 6379, say)),
            KeysRedis(state, announced("Redis for idempotency keys", 6380, say)),
            rabbitmq,
        )

    @property
    def own(self) -> list[Server]:
        """The servers that we run; none of them depends on another."""
        broker = [self.rabbitmq] if isinstance(self.rabbitmq, RabbitMQ) else []
        return [*broker, self.redis, self.redis_keys, self.postgres]

    def environment(
        self, *, database: str = DATABASE, vhost: str | None = None
    ) -> dict[str, str]:
        """Variables that tell our processes about these servers.

        Tests may use another `database` or `vhost` than the servers' first one.
        """
        variables = {
            "ENVIRONMENT": "development",
            "PYTHONUNBUFFERED": "1",
            **self.postgres.environment(database),
            "CELERY_BROKER_URL": self.redis.url(0),
            "CELERY_RESULT_BACKEND": self.redis.url(0),
            "IDEMPOTENCY_REDIS_URL": self.redis_keys.url(0),
            **_tls_environment(self.postgres.state.tls),
        }
        broker = self.rabbitmq
        if broker is None:
            return {**variables, "RPC_BROKER_URL": self.redis.url(1)}
        if broker.ca:
            variables |= {
                "RABBITMQ_SSL": "true",
                "RABBITMQ_SSL_CA_FILE": str(broker.ca),
            }
        if settings.merged().get("RPC_BROKER_URL") and not broker.is_by_url:
            # Of `.env`, or of Redis: it would replace what follows.
            variables["RPC_BROKER_URL"] = broker.url(vhost)
        return {
            **variables,
            "RABBITMQ_HOST": broker.hosts or broker.host,
            "RABBITMQ_PORT": str(broker.port),
            "RABBITMQ_USER": broker.user,
            "RABBITMQ_PASSWORD": broker.password,
            "RABBITMQ_VHOST": broker.vhost if vhost is None else vhost,
            "RABBITMQ_MANAGEMENT_URL": broker.management_url,
        }


@dataclass
class Stack:
    """Our processes and nginx; each is a `Server` and may be killed or paused.

    `clock` is Celery beat, if it runs; `relays` are none without RabbitMQ.
    """

    env: Mapping[str, str]
    services: list[App]
    worker: App
    apis: list[App]
    nginx: Nginx | None
    clock: list[App] = field(default_factory=list)
    relays: list[App] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        state: State,
        servers: Servers,
        env: Mapping[str, str] | None = None,
        *,
        api_ports: list[int],
        nginx_port: int,
        instances: int = 1,
    ) -> "Stack":
        """The processes over `servers`; nothing runs yet.

        `env` adds to and overrides `servers.environment()`. There is one API process
        for each port and `instances` processes of each service. Without nginx on the
        machine, `nginx` is None.
        """
        env = {**servers.environment(), **(env or {})}
        return cls(
            env,
            _services(state, env, instances),
            apps.worker(state, env, lambda: servers.redis.waiting() > 0),
            [
                apps.api(_numbered("api", number), state, env, port)
                for number, port in enumerate(api_ports, start=1)
            ],
            (
                Nginx(state, nginx_port, api_ports, settings=gateway_settings(env))
                if find_nginx()
                else None
            ),
            clock=[apps.beat(state, env)],
            relays=(
                [apps.event_relay("event-relay", state, env)]
                if servers.rabbitmq
                else []
            ),
        )

    @property
    def processes(self) -> list[Server]:
        """All, in stopping order: intake first."""
        gateway = [self.nginx] if self.nginx else []
        own = [*self.apis, *self.clock, *self.relays, self.worker]
        return [*gateway, *own, *self.services]

    @property
    def api_url(self) -> str:
        """Address of the first API process."""
        tls = self.apis[0].state.tls
        return f"{scheme(tls)}://{ports.at(self.apis[0].port)}"

    @property
    def url(self) -> str:
        """The address for clients: nginx, or the API without nginx."""
        return self.nginx.url if self.nginx else self.api_url

    def service(self, folder: str, number: int = 1) -> App:
        """One of the processes of a service, whatever other services there are."""
        name = _numbered(folder, number)
        return next(app for app in self.services if app.name == name)

    def set_environment(self, env: Mapping[str, str]) -> None:
        """Have the processes told this from their next start on, and nginx now."""
        queues = registered()
        for app in self.apis:
            app.env = apps.api_environment(env, app.port)
        for app in [self.worker, *self.clock, *self.relays]:
            app.env = env
        for app in self.services:
            app.env = apps.service_environment(app.cwd, env, queues)
        self.env = env
        if self.nginx:
            self.nginx.settings = gateway_settings(env)
            self.nginx.reload()

    def start(self) -> None:
        """Start all at once; returns when each is ready."""
        start_all(self.processes)

    def stop(self) -> None:
        """Stop all in order, each in limited time."""
        for process in self.processes:
            process.stop()


def _tls_environment(tls: Tls | None) -> dict[str, str]:
    """What the API serves with."""
    if tls is None:
        return {}
    certificate, key = map(str, tls.certificate("api"))
    return {"API_SSL_CERT_FILE": certificate, "API_SSL_KEY_FILE": key}


def _services(state: State, env: Mapping[str, str], instances: int) -> list[App]:
    """The processes of every service."""
    queues = registered()
    return [
        apps.service(
            _numbered(folder.name, number),
            folder,
            state,
            apps.service_environment(folder, env, queues),
        )
        for folder in apps.service_folders()
        for number in range(1, instances + 1)
    ]


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"


def migrate(env: Mapping[str, str]) -> None:
    """Migrate the database to the newest schema. Raises ProcessFailed."""
    alembic(env, "upgrade", "head")


def alembic(env: Mapping[str, str], *arguments: str) -> str:
    """Run Alembic in the backend; returns its output. Raises ProcessFailed."""
    result = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=BACKEND,
        env={**os.environ, "LOG_FORMAT": "text", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        said = f"alembic {' '.join(arguments)} failed:\n{result.stdout}"
        raise ProcessFailed(f"{said}{_advice(result.stdout, arguments)}")
    return result.stdout


def _advice(said: str, arguments: Iterable[str]) -> str:
    """What to do when Alembic does not know a revision."""
    unknown = re.search(r"Can't locate revision identified by '(.+?)'", said)
    if not unknown:
        return ""
    if unknown[1] in arguments:
        return f"The revisions are:\n{alembic({}, 'history')}"
    return UNKNOWN.format(revision=unknown[1])


def each(action: Callable[[Server], None], servers: Iterable[Server]) -> None:
    """Run an action on several at once; when all are done, raise the first failure."""
    servers = list(servers)
    with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
        for future in [pool.submit(action, server) for server in servers]:
            future.result()


def start_all(servers: Iterable[Server]) -> None:
    """Start several at once; returns when each is ready."""
    each(lambda server: server.start(), servers)


def stop_all(servers: Iterable[Server]) -> None:
    """Stop several at once."""
    each(lambda server: server.stop(), servers)


def announced(what: str, standard: int, say: Say) -> int:
    """The standard port if it is free; otherwise another, with a message."""
    port = ports.standard_or_free(standard)
    if port != standard:
        say(f"port {standard} is taken: {what} listens on {port}")
    return port
