"""Makes the output of ``alembic revision --autogenerate`` run unchanged.

Alembic leaves three things to its user: types that need their own import, PostgreSQL's
enum types, and new columns that stored rows have no value for.
"""

from collections.abc import Iterator
from typing import Any, cast

from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy import (
    ARRAY,
    Column,
    DefaultClause,
    Dialect,
    Enum,
    FetchedValue,
    Text,
    inspect,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import SQLModel

Enums = dict[str, ENUM]

NO_VALUE = """\
{column} is NOT NULL, and stored rows have no value for it.
Give the field of the table a server default, by `Field` of sqlmodel (`TableField` in
the module of a resource):
  Field(sa_column_kwargs={{"server_default": "..."}})
or allow NULL: `| None = None`. Nothing was written."""

MAY_BE_NULL = """\
{column} becomes NOT NULL, and stored rows may hold NULL.
Give the field a server default in a migration of its own. The migration after it may
forbid NULL: it writes the default to the rows without a value. Nothing was written."""


def complete(
    context: MigrationContext, _: object, directives: list[ops.MigrationScript]
) -> None:
    """Change the operations of a migration before they are written.

    Raises:
        CommandError: a column needs a value that only its author knows.
    """
    up, down = directives[0].upgrade_ops, directives[0].downgrade_ops
    connection = context.connection
    if up is None or down is None or connection is None:
        return
    new, old = _simplify_types(up, context), _simplify_types(down, context)
    _give_stored_rows_a_value(up, context.dialect)
    for operation in _operations(down):
        if isinstance(operation, ops.AddColumnOp) and _has_no_value(operation.column):
            operation.column.nullable = True  # the downgrade has no values
    inspector = cast(PGInspector, inspect(connection))
    _order_dropped_tables(up, down, inspector)
    stored = {enum["name"]: enum["labels"] for enum in inspector.get_enums()}
    used = _enums_of_models(context)
    created = [enum for name, enum in new.items() if name not in stored]
    dropped = [enum for name, enum in old.items() if name not in used]
    sql = _EnumSQL(context.dialect)
    up.ops[:0] = map(sql.create, created)
    up.ops += [*sql.add_labels(stored, used), *map(sql.drop, dropped)]
    down.ops[:0] = map(sql.create, dropped)
    down.ops += map(sql.drop, created)


def compare_default(
    context: MigrationContext,
    stored: Column[Any],
    _: object,
    stored_default: str | None,
    default: FetchedValue | None,
    rendered: str | None,
) -> bool | None:
    """Whether a server default has changed; None leaves the decision to Alembic.

    As in Alembic, PostgreSQL compares them, but as text: ``json`` has no equality
    operator. Alembic also fails to quote a default that contains an apostrophe.
    """
    if stored_default is None or not isinstance(default, DefaultClause):
        return None
    if stored_default == rendered:  # a function may return another value each time
        return False
    wanted = (
        literal(default.arg, literal_execute=True)
        if isinstance(default.arg, str)
        else literal_column(str(rendered))
    )
    same = literal_column(stored_default).cast(Text) == wanted.cast(stored.type).cast(
        Text
    )
    assert context.connection is not None
    try:
        with context.connection.begin_nested():
            return not context.connection.scalar(select(same))
    except DBAPIError:  # the default does not fit the old type
        return True


def _operations(container: ops.OpContainer) -> Iterator[ops.MigrateOperation]:
    for operation in container.ops:
        if isinstance(operation, ops.OpContainer):
            yield from _operations(operation)
        else:
            yield operation


def _simplify_types(container: ops.OpContainer, context: MigrationContext) -> Enums:
    """Replace all types with SQLAlchemy's own; return the enum types among them."""
    enums: Enums = {}
    for operation in _operations(container):
        if isinstance(operation, ops.CreateTableOp):
            for item in operation.columns:
                if isinstance(item, Column):
                    item.type = _simple(item.type, context.dialect, enums)
        elif isinstance(operation, ops.AddColumnOp):
            column = operation.column
            column.type = _simple(column.type, context.dialect, enums)
        elif isinstance(operation, ops.AlterColumnOp):
            if kind := operation.modify_type:
                operation.modify_type = _simple(kind, context.dialect, enums)
            if kind := operation.existing_type:  # its enum is there already
                operation.existing_type = _simple(kind, context.dialect, {})
    return enums


def _enums_of_models(context: MigrationContext) -> Enums:
    enums: Enums = {}
    for table in SQLModel.metadata.tables.values():
        for column in table.columns:
            _simple(column.type, context.dialect, enums)
    return enums


def _simple(kind: TypeEngine[Any], dialect: Dialect, enums: Enums) -> TypeEngine[Any]:
    """The same type without code of other libraries or ours; records enum types."""
    ours = not type(kind).__module__.startswith("sqlalchemy.")
    if isinstance(kind, TypeDecorator) and ours:
        return _simple(kind.load_dialect_impl(dialect), dialect, enums)
    if isinstance(kind, ARRAY):
        item = _simple(kind.item_type, dialect, enums)
        return ARRAY(item, dimensions=kind.dimensions)
    if isinstance(kind, Enum | ENUM) and kind.native_enum and kind.name:
        # Columns may share an enum type, so no column creates it.
        return enums.setdefault(
            kind.name, ENUM(*kind.enums, name=kind.name, create_type=False)
        )
    return kind


def _give_stored_rows_a_value(container: ops.OpContainer, dialect: Dialect) -> None:
    quote = dialect.identifier_preparer.quote
    for operation in list(container.ops):
        if isinstance(operation, ops.OpContainer):
            _give_stored_rows_a_value(operation, dialect)
        elif isinstance(operation, ops.AddColumnOp):
            if _has_no_value(operation.column):
                name = f"{operation.table_name}.{operation.column.name}"
                raise CommandError(NO_VALUE.format(column=name))
        elif isinstance(operation, ops.AlterColumnOp):
            if operation.modify_nullable is not False:
                continue
            if not isinstance(operation.existing_server_default, FetchedValue):
                name = f"{operation.table_name}.{operation.column_name}"
                raise CommandError(MAY_BE_NULL.format(column=name))
            table, column = quote(operation.table_name), quote(operation.column_name)
            where = f"WHERE {column} IS NULL"
            write = f"UPDATE {table} SET {column} = DEFAULT {where}"  # nosec
            place = container.ops.index(operation)
            container.ops.insert(place, ops.ExecuteSQLOp(write))


def _has_no_value(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None


def _order_dropped_tables(
    up: ops.UpgradeOps, down: ops.DowngradeOps, inspector: PGInspector
) -> None:
    """Drop a table before the tables that its foreign keys reference; Alembic sorts by
    name."""
    order = [name for name, _ in inspector.get_sorted_table_and_fkc_names()]
    drops = [each for each in up.ops if isinstance(each, ops.DropTableOp)]
    drops.sort(key=lambda each: order.index(each.table_name), reverse=True)
    up.ops[:] = [*(each for each in up.ops if each not in drops), *drops]
    creations = [each for each in down.ops if isinstance(each, ops.CreateTableOp)]
    creations.sort(key=lambda each: order.index(each.table_name))
    rest = [each for each in down.ops if each not in creations]
    down.ops[:] = [*creations, *rest]


class _EnumSQL:
    """Statements for PostgreSQL's enum types."""

    def __init__(self, dialect: Dialect) -> None:
        self._quote = dialect.identifier_preparer.quote

    def create(self, enum: ENUM) -> ops.MigrateOperation:
        labels = ", ".join(map(_literal, enum.enums))
        return self._execute("CREATE TYPE {} AS ENUM ({})", enum, labels)

    def drop(self, enum: ENUM) -> ops.MigrateOperation:
        return self._execute("DROP TYPE {}", enum)

    def add_labels(
        self, stored: dict[str, list[str]], used: Enums
    ) -> Iterator[ops.MigrateOperation]:
        """Add the labels that the enum gained; PostgreSQL cannot remove a label."""
        statement = "ALTER TYPE {} ADD VALUE IF NOT EXISTS {}"
        for name, enum in used.items():
            for label in enum.enums:
                if name in stored and label not in stored[name]:
                    yield self._execute(statement, enum, _literal(label))

    def _execute(self, statement: str, enum: ENUM, *rest: str) -> ops.MigrateOperation:
        return ops.ExecuteSQLOp(statement.format(self._quote(str(enum.name)), *rest))


def _literal(label: str) -> str:
    """An SQL string literal in which no colon starts a parameter."""
    return "'" + label.replace("'", "''").replace(":", r"\:") + "'"
