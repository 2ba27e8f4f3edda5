"""The role of DATABASE_URL, which reads and writes rows, and changes no table; and the
roles of services, which have a schema of their own, and nothing else.

Migrations make the first when MIGRATIONS_DATABASE_URL names another role, the tables'
owner; and those of the services whose URLs are in SERVICE_DATABASES_FOLDER.
"""

from typing import Any

import psycopg2.errors
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ProgrammingError

from app.core.database_settings import DatabaseSettings

ROWS = "SELECT, INSERT, UPDATE, DELETE"
# Tables in which it may do less.
LESS = {"alembic_version": "SELECT", "record_events": "SELECT, INSERT"}

REFUSED = """No migration ran: the role of MIGRATIONS_DATABASE_URL may not create
{role}, the role of DATABASE_URL or of a service. Let an administrator run

  CREATE ROLE {role} LOGIN PASSWORD '...';

with the password of that URL, then migrate again."""


def make_role(connection: Connection, settings: DatabaseSettings) -> None:
    """Create the role, or give it the password of the URL."""
    role, quoted = _names(connection, settings)
    known = {"role": role}
    exists = connection.scalar(
        text("SELECT 1 FROM pg_roles WHERE rolname = :role"), known
    )
    login = "LOGIN"
    if password := make_url(settings.sync_url).password:
        # Statements may be logged: send what PostgreSQL stores instead.
        driver: Any = connection.connection.driver_connection
        stored = encrypt_password(password, role, driver, "scram-sha-256")
        login += f" PASSWORD '{stored}'"
    try:
        with connection.begin_nested():
            verb = "ALTER" if exists else "CREATE"
            connection.exec_driver_sql(f"{verb} ROLE {quoted} {login}")
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise
        if not exists:
            raise SystemExit(REFUSED.format(role=quoted)) from None


def make_schema(
    connection: Connection, schema: str, settings: DatabaseSettings
) -> None:
    """Create a service's schema, which its role owns, unless it exists."""
    _, role = _names(connection, settings)
    known = text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
    if not connection.scalar(known, {"schema": schema}):
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        # To give it something, the owner must be a member.
        connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
        connection.exec_driver_sql(f"CREATE SCHEMA {quoted} AUTHORIZATION {role}")


def grant(connection: Connection, settings: DatabaseSettings) -> None:
    """Let the role work with the owner's tables, those of later migrations included."""
    _, role = _names(connection, settings)
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = quote(connection.scalar(text("SELECT current_schema()")) or "public")
    statements = [
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    ]
    for rights in (f"{ROWS} ON TABLES", "USAGE, SELECT ON SEQUENCES"):
        statements.append(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} TO {role}"
        )
    own = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() "
    for table in connection.scalars(text(f"{own} AND tableowner = current_user")):
        place = f"{schema}.{quote(table)}"
        statements.append(f"REVOKE ALL ON {place} FROM {role}")
        statements.append(f"GRANT {LESS.get(table, ROWS)} ON {place} TO {role}")
    for statement in statements:
        connection.exec_driver_sql(statement)


def _names(connection: Connection, settings: DatabaseSettings) -> tuple[str, str]:
    """The role, and how SQL writes it."""
    role = make_url(settings.sync_url).username or ""
    return role, connection.dialect.identifier_preparer.quote_identifier(role)
