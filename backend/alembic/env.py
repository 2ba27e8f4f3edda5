"""Runs migrations: once per deployment, under an advisory lock."""

import time

from alembic import context
from autogeneration import compare_default, complete
from sqlalchemy import text
from sqlmodel import SQLModel

from app.core.config import load_settings
from app.core.database import create_sync_engine, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.models import import_all
from chassis.logs import configure_logging

# The key of the advisory lock. It is the same for every migration of this database, so
# replicas that start together wait for each other.
LOCKED = {"key": 7_305_021_001}
PAUSE = 0.2

import_all()  # registers the tables


def migrate() -> None:
    """Run the migrations that the database does not have yet."""
    settings = load_settings()
    configure_logging("migrations", settings.log_level, settings.log_format)
    engine = create_sync_engine(settings.database)
    try:
        with translate_errors():
            connection = engine.connect()
    except DatabaseUnavailable as error:  # the log has the reason and advice
        raise SystemExit(f"No migration ran: {error}") from None
    with connection:
        # A migration may take longer than a request may.
        connection.execute(text("SET statement_timeout = 0"))
        # Poll for the lock, each time in a transaction of its own: waiting inside one
        # transaction would block CREATE INDEX CONCURRENTLY for ever.
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), LOCKED):
            connection.commit()
            time.sleep(PAUSE)
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_server_default=compare_default,
            process_revision_directives=complete,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


def print_sql() -> None:
    """Print the SQL instead of running it: ``alembic upgrade head --sql``."""
    context.configure(
        url=load_settings().database.sync_url,
        target_metadata=SQLModel.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    migrate()
