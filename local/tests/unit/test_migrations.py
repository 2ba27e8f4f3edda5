"""`make check` reads migrations: what the running release may need stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.apps import ROOT
from local.migrations.__main__ import find_faults
from local.migrations.rules import is_wider
from local.migrations.sql import statements

HEAD = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{number}", {previous}
{more}
def upgrade():
    {body}
"""
FIRST = """op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("colour", sa.String(20)),
        sa.Column("size", sa.Integer, server_default="1"),
    )
    op.create_index("ix_orders_size", "orders", ["size"])"""
MODELS = """
from sqlmodel import Field, SQLModel
def import_all(): pass
class Order(SQLModel, table=True):
    __tablename__ = "orders"
    id: int = Field(primary_key=True)
    {fields}
"""


class Project:
    """A folder with the migrations of a backend."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions = root / "backend/alembic/versions"
        self.versions.mkdir(parents=True)
        self.models = root / "backend/app/models/__init__.py"
        self.models.parent.mkdir(parents=True)
        (root / "packages").mkdir()
        (root / "packages/README.md").touch()
        self.release("1.6.0")
        self.write(FIRST)

    def write(self, body: str, more: str = "") -> None:
        number = len(list(self.versions.glob("*.py"))) + 1
        previous = f'"{number - 1}"' if number > 1 else None
        text = HEAD.format(number=number, previous=previous, body=body, more=more)
        (self.versions / f"{number}.py").write_text(text)

    def declare(self, fields: str) -> None:
        self.models.write_text(MODELS.format(fields=fields))

    def release(self, version: str) -> None:
        file = self.root / "backend/pyproject.toml"
        file.write_text(f'[project]\nversion = "{version}"\n')

    def tag(self, version: str) -> None:
        self.release(version)
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        for words in (
            ["init", "--quiet"],
            ["add", "--all"],
            [*identity, "commit", "--quiet", "--message", version],
            ["tag", f"v{version}"],
        ):
            subprocess.run(["git", "-C", str(self.root), *words], check=True)

    def faults(self) -> list[str]:
        return list(find_faults(self.root))

    def fault(self) -> str:
        (fault,) = self.faults()
        return fault


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    # A file that changes twice in a second would be taken from the cache.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Project(tmp_path)


def test_our_own_migrations_let_the_old_release_run() -> None:
    assert list(find_faults(ROOT)) == []


def as_python(body: str) -> str:
    """Of a statement of SQL: the call that runs it."""
    is_sql = body[0].isupper() or body.startswith(("--", "alter"))
    return f"op.execute({body!r})" if is_sql else body


REFUSED = {
    'op.drop_table("orders")': "drops the table orders",
    'op.drop_column("orders", "colour")': "drops the column orders.colour",
    "ALTER TABLE public.orders DROP colour CASCADE": ("drops the column orders.colour"),
    'DROP TABLE IF EXISTS "orders", others': "drops the table others",
    'op.rename_table("orders", "sales")': "renames the table orders",
    'op.alter_column("orders", "colour", new_column_name="hue")': (
        "renames orders.colour"
    ),
    "alter table only orders rename colour to hue": "renames orders.colour",
    "ALTER TABLE orders SET SCHEMA old": "renames the table orders",
    'op.alter_column("orders", "colour", type_=sa.String(5))': (
        "changes the type of orders.colour to VARCHAR(5)"
    ),
    'op.alter_column("orders", "size", type_=sa.BigInteger)': (
        "changes the type of orders.size"
    ),
    'op.alter_column("orders", "colour", nullable=False)': (
        "sets NOT NULL on orders.colour"
    ),
    "ALTER TABLE orders ALTER size SET NOT NULL, ALTER size SET DEFAULT 2": (
        "sets NOT NULL on orders.size"
    ),
    'op.create_check_constraint("bright", "orders", "colour <> \'black\'")': (
        "adds the constraint orders.bright (CHECK)"
    ),
    'op.create_unique_constraint("one", "orders", ["colour"])': (
        "adds the constraint orders.one (UNIQUE)"
    ),
    'op.create_foreign_key("fk", "orders", "sizes", ["size"], ["id"])': (
        "adds the constraint orders.fk (FOREIGN KEY)"
    ),
    "ALTER TABLE orders ADD CHECK (size > 0) NOT VALID": (
        "adds the constraint orders (CHECK)"
    ),
    "ALTER TABLE orders ADD CONSTRAINT x UNIQUE USING INDEX y": (
        "adds the constraint orders.x (UNIQUE)"
    ),
    'op.drop_constraint("orders_pkey", "orders")': (
        "drops the constraint orders.orders_pkey"
    ),
    "DROP FUNCTION next_number(bigint)": "drops the function next_number",
    "op.execute(\"ALTER TYPE mood RENAME VALUE 'a' TO 'b'\")": (
        "renames something of the type mood"
    ),
    'op.create_index("ix", "orders", ["colour"])': "builds the index ix under a lock",
    "CREATE INDEX ON orders (colour)": "builds the index on orders under a lock",
    'op.drop_index("ix_orders_size")': "drops the index ix_orders_size under a lock",
    "REINDEX TABLE orders": "REINDEX locks a table",
    "ALTER TABLE orders ADD a uuid DEFAULT gen_random_uuid()": (
        "adds orders.a with a value for each row"
    ),
    "ALTER TABLE orders ADD a bigserial": "with a value for each row",
    "ALTER TABLE orders ADD a int GENERATED ALWAYS AS (size) STORED": (
        "with a value for each row"
    ),
    'op.add_column("orders", sa.Column("a", sa.Integer, nullable=False))': (
        "adds the column orders.a as NOT NULL without a default"
    ),
    "ALTER TABLE orders ADD COLUMN a int UNIQUE": (
        "builds the index of orders.a under a lock"
    ),
    "DO $$ BEGIN IF true THEN ALTER TABLE orders DROP size; END IF; END $$": (
        "drops the column orders.size"
    ),
    'op.get_bind().execute(sa.text("SELECT 1")).scalar()': "cannot be printed",
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_breaks_or_stops_the_running_release_is_refused(
    project: Project, body: str
) -> None:
    project.write(as_python(body))
    faults = project.faults()
    assert any(REFUSED[body] in fault for fault in faults), faults
    assert all(fault.startswith("backend/alembic/versions/2.py: ") for fault in faults)
    assert all("\n" in fault for fault in faults), "each has a recipe"


ADMITTED = [
    'op.add_column("orders", sa.Column("a", sa.String))',
    "ALTER TABLE orders ADD a int DEFAULT 1 NOT NULL",
    """at = sa.Column("a", sa.DateTime, server_default=sa.func.now(), nullable=False)
    op.add_column("orders", at)""",
    "ALTER TABLE orders ADD a numeric DEFAULT 0::numeric(10, 2) NOT NULL",
    'op.execute("ALTER TABLE orders ADD a jsonb DEFAULT \'{\\"f(\\": 1}\'::jsonb")',
    'op.alter_column("orders", "colour", type_=sa.String(50))',
    'op.alter_column("orders", "colour", type_=sa.Text)',
    'op.alter_column("orders", "colour", nullable=True)',
    'op.alter_column("orders", "size", server_default="2")',
    "INSERT INTO orders (colour) VALUES ('; DROP TABLE orders')",
    "-- DROP TABLE orders;\nSELECT 1 /* ; DROP TABLE orders */",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DROP TABLE orders $$",
    "DROP TRIGGER t ON orders; CREATE TRIGGER t AFTER INSERT ON orders",
    "ALTER TABLE orders VALIDATE CONSTRAINT bright",
    """with op.get_context().autocommit_block():
        op.drop_index("ix", postgresql_concurrently=True, if_exists=True)
        op.create_index("ix", "orders", ["colour"], postgresql_concurrently=True)""",
    """op.create_table("new", sa.Column("a", sa.Integer, nullable=False))
    op.create_index("ix_new", "new", ["a"], unique=True)
    op.alter_column("new", "a", type_=sa.String)
    op.create_check_constraint("c", "new", "a > 0")
    op.drop_column("new", "a")
    op.drop_table("new")""",
    """op.add_column("orders", sa.Column("a", sa.Integer))
    op.create_foreign_key("fk", "orders", "orders", ["a"], ["id"])
    op.create_check_constraint("c", "orders", "a > 0")""",
    """op.execute("ALTER TABLE orders ADD a int DEFAULT 1")
    op.alter_column("orders", "a", nullable=False)""",
    """if not op.get_context().as_sql:
        op.get_bind().execute(sa.text("SELECT 1")).scalar()""",
]


@pytest.mark.parametrize("body", ADMITTED)
def test_what_the_running_release_does_not_notice_passes(
    project: Project, body: str
) -> None:
    project.write(as_python(body))
    assert project.faults() == []


@pytest.mark.parametrize(
    "body",
    [
        # The old release inserts rows without the value.
        """op.execute("ALTER TABLE orders ADD a int NOT NULL DEFAULT 1")
    op.alter_column("orders", "a", server_default=None)""",
        """op.execute("ALTER TABLE orders ADD a int")
    op.alter_column("orders", "a", nullable=False)""",
        # Another column of the same name.
        """op.drop_column("orders", "colour")
    op.add_column("orders", sa.Column("colour", sa.Integer))""",
    ],
)
def test_steps_that_are_harmless_alone_are_refused_together(
    project: Project, body: str
) -> None:
    project.write(body)
    assert "ready_since = {" in project.fault()


def test_a_drop_is_declared_with_a_release_that_did_without(project: Project) -> None:
    project.declare("colour: str")
    project.tag("1.6.0")
    project.declare("pass")
    project.tag("1.7.0")
    drop = 'op.drop_column("orders", "colour")'
    project.write(drop, 'ready_since = {"orders.colour": "1.6.0"}')
    assert "but v1.6.0 still has orders.colour" in project.fault()
    (project.versions / "2.py").unlink()
    project.write(drop, 'ready_since = {"orders.colour": "1.7.0"}')
    assert project.faults() == []
    project.declare("colour: str")
    assert "but this folder still has orders.colour" in project.fault()


def test_not_null_is_declared_with_a_release_that_wrote_values(
    project: Project,
) -> None:
    project.declare("colour: str | None = None")
    project.tag("1.6.0")
    project.declare("colour: str")
    project.tag("1.7.0")
    require = 'op.alter_column("orders", "colour", nullable=False)'
    project.write(require, 'ready_since = {"orders.colour": "1.6.0"}')
    assert "but v1.6.0 may leave orders.colour without a value" in project.fault()
    (project.versions / "2.py").unlink()
    project.write(require, 'ready_since = {"orders.colour": "1.7.0"}')
    assert project.faults() == []


@pytest.mark.parametrize(
    "default", ['default="red"', 'sa_column_kwargs={"server_default": "red"}']
)
def test_a_default_writes_values(project: Project, default: str) -> None:
    project.declare(f"colour: str = Field({default}, nullable=True)")
    project.tag("1.6.0")
    require = 'op.alter_column("orders", "colour", nullable=False)'
    project.write(require, 'ready_since = {"orders.colour": "1.6.0"}')
    assert project.faults() == []


@pytest.mark.parametrize(
    ("declared", "objection"),
    [
        ('{"orders.colour": "1.6.1"}', "but the newest release is 1.6.0"),
        ('{"orders.colour": "soon"}', "write it as 1.6.0"),
        ('{"orders.hue": "1.6.0"}', "to which the migration does nothing"),
    ],
)
def test_a_wrong_declaration_is_refused(
    project: Project, declared: str, objection: str
) -> None:
    project.declare("pass")
    project.write('op.drop_column("orders", "colour")', f"ready_since = {declared}")
    assert any(objection in fault for fault in project.faults())


def test_a_lock_cannot_be_declared(project: Project) -> None:
    project.declare("pass")
    index = 'op.create_index("ix", "orders", ["colour"])'
    project.write(index, 'ready_since = {"ix": "1.6.0"}')
    assert any("under a lock" in fault for fault in project.faults())


def test_unreadable_models_are_told(project: Project) -> None:
    project.models.write_text("import nothing_of_this_name\n")
    drop = 'op.drop_column("orders", "colour")'
    project.write(drop, 'ready_since = {"orders.colour": "1.6.0"}')
    assert "No module named 'nothing_of_this_name'" in project.fault()


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("VARCHAR(5)", "VARCHAR(6)", True),
        ("VARCHAR(5)", "VARCHAR(4)", False),
        ("character varying(5) NOT NULL", "text", True),
        ("TEXT", "VARCHAR(9)", False),
        ("NUMERIC(5, 2)", "NUMERIC(7, 2)", True),
        ("NUMERIC(5, 2)", "NUMERIC(7, 3)", False),
        ("NUMERIC", "NUMERIC(7)", False),
        ("INTEGER", "BIGINT", False),
        ("JSON", "JSONB", False),
    ],
)
def test_which_types_are_wider(old: str, new: str, wider: bool) -> None:
    assert is_wider(old, new) is wider


def test_statements_are_taken_apart() -> None:
    sql = """SELECT ';', "a b", $t$ ; $t$; -- ;
    DO $$ BEGIN DROP TABLE x; END $$;"""
    assert list(statements(sql)) == [
        *("SELECT '', a_b, ''", "DROP TABLE x", "DO ''"),
    ]


def test_a_migration_that_needs_a_connection_hides_no_other(project: Project) -> None:
    project.write("op.get_bind().execute(sa.text('SELECT 1')).scalar_one()")
    project.write('op.drop_column("orders", "colour")')
    first, second = project.faults()
    assert "2.py" in first and "3.py" in second
