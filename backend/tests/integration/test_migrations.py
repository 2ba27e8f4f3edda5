"""Migrations and models agree, and replicas that migrate together do not collide."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlmodel import SQLModel

from app.core import locks
from app.models import import_all
from local.servers.postgres import PostgreSQL
from local.tests.troubleshooting import explanation
from tests.integration.responder import wait_until

BACKEND = Path(__file__).parents[2]


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.promise("ARCHITECTURE.md", "A test compares them with the models.")
def test_models_and_migrations_agree(migrated_url: str) -> None:
    check = alembic(migrated_url, "check")
    assert check.returncode == 0, check.stdout + check.stderr


INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = :schema"


@pytest.mark.promise("ARCHITECTURE.md", "A test compares them with the models.")
def test_indexes_of_models_and_migrations_agree(migrated_url: str) -> None:
    """Alembic compares neither their predicates nor their methods."""
    import_all()
    engine = create_engine(migrated_url)
    with engine.connect() as connection:

        def indexes(schema: str) -> dict[str, str]:
            rows = connection.execute(text(INDEXES), {"schema": schema})
            return {name: index.replace(f"{schema}.", "") for name, index in rows}

        connection.execute(text("CREATE SCHEMA of_models"))
        connection.execution_options(schema_translate_map={None: "of_models"})
        SQLModel.metadata.create_all(connection)
        wanted, found = indexes("of_models"), indexes("public")
        connection.rollback()
    engine.dispose()
    assert "WHERE" in wanted["ix_records_processing"]
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_wrong_password_is_told_without_a_traceback(postgres: PostgreSQL) -> None:
    url = postgres.url().replace(":fastapi@", ":sesame@")
    run = alembic(url, "upgrade", "head")
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "No migration ran" in run.stderr
    assert ".env" in explanation(run.stderr)


@pytest.mark.promise("ARCHITECTURE.md", "An advisory lock lets one run at a time.")
def test_a_migration_waits_for_another(postgres: PostgreSQL) -> None:
    """Replicas that start together would both create the same table."""
    url = postgres.create_database("migrated_at_once")
    engine = create_engine(url)
    polls = text(
        "SELECT count(DISTINCT query_start) FROM pg_stat_activity WHERE query LIKE"
        " 'SELECT pg_try_advisory_xact_lock%' AND datname = current_database()"
    )
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    # A statement of a migration may take longer than one of a request.
    environment = {**os.environ, "DATABASE_URL": url, "DB_TIMEOUT_SECONDS": "0.001"}
    try:
        with engine.connect() as other, engine.connect() as observer:
            observer = observer.execution_options(isolation_level="AUTOCOMMIT")
            other.execute(text(f"SELECT pg_advisory_xact_lock({locks.MIGRATIONS})"))
            with subprocess.Popen(command, cwd=BACKEND, env=environment) as waiting:
                wait_until(
                    lambda: observer.scalar(polls) or waiting.poll() is not None, 30
                )
                assert waiting.poll() is None
                assert not inspect(observer).get_table_names()
                other.rollback()
                assert waiting.wait(30) == 0
            assert inspect(observer).get_table_names()
        assert alembic(url, "downgrade", "base").returncode == 0
    finally:
        engine.dispose()
        postgres.drop_database("migrated_at_once")


# Prints all that each revision has made: on the way up, then on the way down. Before
# two steps up, it leaves what an interrupted run leaves.
WALK = """
import json, os
import psycopg2
from alembic import command, config, script

HELD = '''
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL SELECT 'function', proname, prosrc, '', '' FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL SELECT 'sequence', relname, '', '', '' FROM pg_class WHERE relkind = 'S'
UNION ALL SELECT 'statistics', stxname, '', '', '' FROM pg_statistic_ext
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
'''
LEFT = {
    '0004': 'CREATE INDEX ix_records_task_status ON data_processing_records (id)',
    '0005': 'ALTER TABLE task_logs ADD owner varchar(255);'
            'CREATE INDEX ix_task_logs_owner ON task_logs (id)',
}
settings = config.Config('alembic.ini')
revisions = [each.revision for each in script.ScriptDirectory.from_config(settings)
             .walk_revisions()][::-1]
url = os.environ['DATABASE_URL'].replace('+psycopg2', '')

def held():
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(HELD)
        return sorted(list(row) for row in cursor if row[0] != 'alembic_version')

up, down = [held()], []
for each in revisions:
    if each in LEFT:
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(LEFT[each])
    command.upgrade(settings, each)
    up.append(held())
for each in [*revisions[-2::-1], 'base']:
    command.downgrade(settings, each)
    down.append(held())
print(json.dumps([revisions, up, down]))
"""


def test_each_step_down_undoes_its_step_up(postgres: PostgreSQL) -> None:
    url = postgres.create_database("up_and_down")
    try:
        run = subprocess.run(
            [sys.executable, "-c", WALK],
            cwd=BACKEND,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
        )
    finally:
        postgres.drop_database("up_and_down")
    assert run.returncode == 0, run.stderr
    revisions, up, down = json.loads(run.stdout.splitlines()[-1])
    for number, revision in enumerate(reversed(revisions), start=1):
        assert down[number - 1] == up[-number - 1], revision
    # What an interrupted run had left is not taken for what it should have made.
    held = {row[1]: row[2] for row in up[-1]}
    for name in ("ix_records_task_status", "ix_task_logs_owner"):
        assert "status" in held[name] or "owner" in held[name].partition("(")[2]
