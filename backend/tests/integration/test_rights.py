"""Two roles of PostgreSQL: migrations own the tables, processes change rows alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from pydantic import SecretStr

from chassis.events.inbox import Inbox
from chassis.settings import ReceivedEventSettings
from local.servers.postgres import PASSWORD, USER, PostgreSQL

BACKEND = Path(__file__).parents[2]
NAME, ROLE, MODEST = "two_roles", "row-worker", "modest"
SERVICE = "price_list"
INSERT = (
    "INSERT INTO task_logs (task_id, correlation_id, queue_name, service_name, status)"
    " VALUES ('t', 'c', 'q', 's', 'ok')"
)


def migrate(postgres: PostgreSQL, password: str, owner: str = USER, **env: str) -> str:
    """Migrate as the owner, for processes with that password; returns what it says."""
    url = postgres.url(NAME).replace(f"//{USER}:", f"//{owner}:")
    own = url.replace(f"//{owner}:{PASSWORD}@", f"//{ROLE}:{password}@")
    given = {"DATABASE_URL": own, "MIGRATIONS_DATABASE_URL": url}
    run = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=BACKEND,
        env={**os.environ, **given, **env},
        capture_output=True,
        text=True,
    )
    return run.stderr if run.returncode else ""


@pytest.fixture(scope="module")
def empty(postgres: PostgreSQL) -> Iterator[PostgreSQL]:
    """With an owner that makes no roles."""
    postgres.create_database(NAME)
    postgres.execute(f"CREATE ROLE {MODEST} LOGIN PASSWORD '{PASSWORD}'", "postgres")
    yield postgres
    postgres.drop_database(NAME)
    for role in (ROLE, MODEST, SERVICE):
        postgres.execute(f'DROP ROLE IF EXISTS "{role}"', "postgres")


@pytest.fixture(scope="module")
def migrated(empty: PostgreSQL) -> PostgreSQL:
    assert migrate(empty, "first") == ""
    return empty


def run(postgres: PostgreSQL, statement: str, password: str = "first") -> None:
    """As a process would."""
    login: dict[str, Any] = {"user": ROLE, "password": password, "dbname": NAME}
    login |= {"host": "127.0.0.1", "port": postgres.port}
    with closing(psycopg2.connect(**login)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)


def test_an_owner_that_makes_no_roles_is_told(empty: PostgreSQL) -> None:
    empty.execute(f"ALTER DATABASE {NAME} OWNER TO {MODEST}", "postgres")
    said = migrate(empty, "first", MODEST)
    assert f'CREATE ROLE "{ROLE}" LOGIN' in said
    assert "Traceback" not in said and "first" not in said
    # Once the role is there, this owner grants it what it needs.
    empty.execute(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD 'first'", "postgres")
    assert migrate(empty, "other", MODEST) == ""
    run(empty, INSERT)
    # Back to nothing, for the other tests.
    empty.execute("DROP SCHEMA public CASCADE", NAME)
    empty.execute("CREATE SCHEMA public", NAME)
    empty.execute(f"DROP OWNED BY {MODEST}", NAME)
    empty.execute(f"ALTER DATABASE {NAME} OWNER TO {USER}", "postgres")
    empty.execute(f'DROP ROLE "{ROLE}"', "postgres")


def test_processes_change_rows(migrated: PostgreSQL) -> None:
    for statement in (
        INSERT,
        "UPDATE task_logs SET task_type = 'u'",
        "SELECT * FROM data_processing_records, alembic_version",
        "DELETE FROM task_logs",
        # With their events, which this role cannot change otherwise.
        "INSERT INTO data_processing_records (task_id, task_status) VALUES ('t', 's')",
        "DELETE FROM data_processing_records",
    ):
        run(migrated, statement)


def test_processes_go_on_with_a_log_from_another_server(migrated: PostgreSQL) -> None:
    """They raise its base, although their role may not."""
    loaded = "SELECT 1::bigint << 55, 'test.loaded', 'one', '{}'"
    migrated.execute(
        f"INSERT INTO record_events (sequence, type, subject, data) {loaded}", NAME
    )
    statement = "INSERT INTO data_processing_records (task_id, task_status) VALUES "
    run(migrated, f"{statement} ('next', 's')")


@pytest.mark.promise(
    "docs/SECURITY.md", "create, change, drop or truncate tables, change the revision"
)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE task_logs ADD COLUMN mine int",
        "CREATE INDEX ON task_logs (id)",
        "DROP TABLE task_logs",
        "TRUNCATE task_logs",
        "UPDATE alembic_version SET version_num = '0'",
        "ALTER ROLE CURRENT_USER CREATEROLE",
        "SET events.maintenance = 'on'; UPDATE record_events SET data = '1'",
        "SET events.maintenance = 'on'; DELETE FROM record_events",
        "ALTER TABLE data_processing_records DISABLE TRIGGER USER",
    ],
)
def test_processes_change_no_table(migrated: PostgreSQL, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(migrated, statement)


def test_tables_of_later_migrations_are_included(migrated: PostgreSQL) -> None:
    migrated.execute("CREATE TABLE later (id serial, name text)", NAME)
    run(migrated, "INSERT INTO later (name) VALUES ('one')")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(migrated, "DROP TABLE later")
    migrated.execute("DROP TABLE later", NAME)


def test_a_new_password_comes_with_the_next_migration(migrated: PostgreSQL) -> None:
    """So does the end of rights that the role should not have."""
    migrated.execute(f'GRANT DELETE ON alembic_version TO "{ROLE}"', NAME)
    assert migrate(migrated, "second") == ""
    run(migrated, "SELECT 1", "second")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(migrated, "DELETE FROM alembic_version", "second")
    with pytest.raises(psycopg2.OperationalError):
        run(migrated, "SELECT 1", "first")
    assert migrate(migrated, "first") == ""


@pytest.mark.promise(
    "docs/SECURITY.md", "A service that receives events works in a schema of its own"
)
def test_a_service_has_a_schema_of_its_own_and_nothing_else(
    migrated: PostgreSQL, tmp_path: Path
) -> None:
    url = migrated.url(NAME).replace(f"//{USER}:{PASSWORD}@", f"//{SERVICE}:own@")
    (tmp_path / SERVICE).write_text(f"{url}\n")
    (tmp_path / "..data").mkdir()  # as Kubernetes has it
    folder = {"SERVICE_DATABASES_FOLDER": str(tmp_path)}
    for _ in range(2):
        assert migrate(migrated, "first", **folder) == ""
    inbox = Inbox(ReceivedEventSettings(database_url=SecretStr(url)), SERVICE)
    inbox.prepare()
    with inbox.receiving("queue", "1") as cursor:
        assert cursor is not None
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (SERVICE,)
    for statement in (
        "SELECT * FROM public.task_logs",
        "CREATE TABLE public.t (a int)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            with inbox.receiving("queue", "2") as cursor:
                cursor.execute(statement)
    inbox.close()
