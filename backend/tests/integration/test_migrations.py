"""Migrations and models agree, and replicas that migrate together do not collide."""

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
    environment = {**os.environ, "DATABASE_URL": url}
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
