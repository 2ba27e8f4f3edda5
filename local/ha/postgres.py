"""PostgreSQL under Patroni: one primary, and two replicas that follow it.

A commit is answered when a replica has it too. Without any replica there is no commit,
so that the loss of any one node loses nothing.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from contextlib import closing
from importlib import import_module
from typing import Any

import psycopg2
from psycopg2 import sql

from local import ports
from local.apps import ROOT
from local.ha.etcd import Etcd
from local.ha.network import Host
from local.ha.node import Node
from local.servers.base import Command, plain_environment
from local.servers.postgres import DATABASE, PASSWORD, USER, WORKER
from local.servers.privileges import choose_runner
from local.state import State

PORT, REST = 5432, 8008
REPLICATOR = "replicator"

# As the launcher's own PostgreSQL, see local/servers/postgres.py.
INITDB = [
    {"auth": "scram-sha-256"},
    {"encoding": "UTF8"},
    {"locale": "C"},
    {"locale-provider": "builtin"},
    {"builtin-locale": "C.UTF-8"},
]


def cluster_settings() -> Any:
    """As in containers, for a smaller machine; see leased.py for the ttl."""
    file = ROOT / "deploy" / "ha" / "patroni" / "patroni.yml"
    yaml: Any = import_module("yaml")  # Patroni brings it, which only the lab installs
    settings = yaml.safe_load(file.read_text())["bootstrap"]["dcs"]
    settings["postgresql"]["parameters"] |= {
        "max_connections": 200,
        "shared_buffers": "32MB",
        "log_line_prefix": "%m [%p] ",
    }
    return settings


class Member(Node):
    """A server with its Patroni. Without data, it copies the primary's."""

    kind = "postgres"
    start_timeout = 120.0
    stop_timeout = 30.0

    def __init__(
        self, state: State, host: Host, etcd: list[Etcd], *, port: int, rest: int
    ) -> None:
        super().__init__(state, host, port)
        self.etcd = etcd
        self._rest = ports.at(rest, host.address)

    def command(self) -> Command:
        runner = choose_runner(self.folder)
        configuration = runner.folder / "patroni.json"
        # JSON is YAML, too.
        configuration.write_text(json.dumps(self.configuration(str(runner.binaries))))
        configuration.chmod(0o600)
        if runner.uid is not None:
            os.chown(configuration, runner.uid, runner.uid)
        argv = [*self.machine.prefix, *runner.prefix, sys.executable]
        argv += ["-m", "local.ha.leased", str(configuration)]
        environment = plain_environment(
            HOME=str(runner.folder), PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1"
        )
        return Command(argv, runner.folder, environment, runner.uid)

    def configuration(self, binaries: str) -> dict[str, Any]:
        """What Patroni reads."""
        rest = {"listen": self._rest, "connect_address": self._rest}
        return {
            "scope": "ha",
            "name": self.name,
            "restapi": rest,
            "etcd3": {"hosts": [each.at for each in self.etcd]},
            "bootstrap": {"dcs": cluster_settings(), "initdb": INITDB},
            "postgresql": {
                "listen": self.at,
                "connect_address": self.at,
                "bin_dir": binaries,
                "data_dir": "data",
                "pgpass": "pgpass",
                # A new replica would wait minutes for the next usual checkpoint.
                "basebackup": {"checkpoint": "fast"},
                "authentication": {
                    "superuser": {"username": USER, "password": PASSWORD},
                    "replication": {"username": REPLICATOR, "password": PASSWORD},
                },
                "parameters": {"unix_socket_directories": ""},
                "pg_hba": [
                    "host all all all scram-sha-256",
                    f"host replication {REPLICATOR} all scram-sha-256",
                ],
            },
            "tags": {},
        }

    def ready(self) -> bool:
        return self._status("health") == 200

    def is_primary(self) -> bool:
        """Whether it takes writes."""
        return self._status("primary") == 200

    def is_whole(self) -> bool:
        """Whether it is the primary with both replicas, or one that follows it."""
        try:
            members = self._read("cluster")["members"]
        except (OSError, ValueError, KeyError):
            return False
        states = {each["name"]: (each["role"], each["state"]) for each in members}
        role, state = states.get(self.name, ("", ""))
        if role == "leader":
            return len(states) == 3 and state == "running"
        return (role, state) == ("quorum_standby", "streaming")

    def _status(self, path: str) -> int:
        try:
            with ports.DIRECT.open(f"http://{self._rest}/{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def _read(self, path: str) -> Any:
        with ports.DIRECT.open(f"http://{self._rest}/{path}", timeout=2) as answer:
            return json.load(answer)


class ReplicatedPostgreSQL:
    """The members as clients see them."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    def url(self, database: str = DATABASE) -> str:
        """The SQLAlchemy URL; it leads to the primary."""
        hosts = ",".join(each.at for each in self.members)
        place = f"{USER}:{PASSWORD}@{hosts}/{database}"
        query = "target_session_attrs=read-write&connect_timeout=2"
        return f"postgresql+psycopg2://{place}?{query}"

    def environment(self) -> dict[str, str]:
        """The variables of our processes, and of migrations."""
        url = self.url()
        own = url.replace(f"//{USER}:", f"//{WORKER}:")
        return {
            "DATABASE_URL": own,
            "ASYNC_DATABASE_URL": own.replace("+psycopg2", "+asyncpg"),
            "MIGRATIONS_DATABASE_URL": url,
        }

    def primary(self) -> Member | None:
        """The one that takes writes, if any does."""
        return next((each for each in self.members if each.is_primary()), None)

    def create_database(self) -> None:
        """Create our database unless it exists."""
        url = self.url("postgres").replace("+psycopg2", "")
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                try:
                    cursor.execute(statement)
                except psycopg2.errors.DuplicateDatabase:
                    pass
