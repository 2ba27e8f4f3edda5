"""Runs migrations: once per deployment, under an advisory lock."""

import gc
import time

from alembic import context
from autogeneration import compare_default, complete
from rights import grant, make_role, make_schema
from sqlalchemy import make_url, text
from sqlmodel import SQLModel

from app.core import locks
from app.core.config import load_settings
from app.core.database import create_sync_engine, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.models import import_all
from chassis.logs import configure_logging

# The key of the advisory lock. It is the same for every migration of this database, so
# replicas that start together wait for each other.
LOCKED = {"key": locks.MIGRATIONS}
PAUSE = 0.2

import_all()  # registers the tables
gc.freeze()  # spare the collector objects that stay: a quarter of the time


def migrate() -> None:
    """Run the migrations that the database does not have yet."""
    settings = load_settings()
    configure_logging("migrations", settings.log_level, settings.log_format)
    # A migration may take longer than a request may.
    owner = settings.migrations.of_owner(settings.database)
    engine = create_sync_engine(owner, statement_seconds=0, pool_size=2)
    has_roles = (
        make_url(owner.sync_url).username
        != make_url(settings.database.sync_url).username
    )
    try:
        with translate_errors():
            lock, connection = engine.connect(), engine.connect()
    except DatabaseUnavailable as error:  # the log has the reason and advice
        raise SystemExit(f"No migration ran: {error}") from None
    with lock, connection:
        # The lock ends with a transaction, not with a session: behind a pooler, a
        # session has no connection of its own. Poll for it: a statement that waits
        # would block CREATE INDEX CONCURRENTLY for ever; a transaction between two
        # statements does not.
        while not lock.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), LOCKED):
            lock.rollback()
            time.sleep(PAUSE)
        lock.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if has_roles:
            make_role(connection, settings.database)
            connection.commit()
        for schema, service in settings.migrations.of_services(owner).items():
            make_role(connection, service)
            make_schema(connection, schema, service)
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_server_default=compare_default,
            process_revision_directives=complete,
        )
        with context.begin_transaction():
            context.run_migrations()
        if has_roles:
            grant(connection, settings.database)
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
