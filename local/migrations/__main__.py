"""``python -m local.migrations``, in ``backend/``: a part of `make check`.

It cannot see SQL that a function or a program puts together, what a statement inside
of a function does, and names in the code that stand in texts. Without the tag of a
declared release, it believes the declaration.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from local.apps import ROOT
from local.migrations.releases import Releases, Unreadable
from local.migrations.rules import Migration, Schema
from local.migrations.sql import statements

OFFLINE = """\
its SQL cannot be printed without a database ({error}).
This check reads it, and database administrators do, with Alembic's `--sql`. Leave out
what reads the database: `if not op.get_context().as_sql:`."""


def find_faults(root: Path = ROOT) -> Iterator[str]:
    """A text for each fault of each migration."""
    scripts = ScriptDirectory(str(root / "backend/alembic"))
    schema, releases = Schema(), Releases(root)
    for script in reversed(list(scripts.walk_revisions())):
        place = Path(script.path).relative_to(root)
        try:
            sql = print_upgrade(script.module)
        except Exception as error:
            # Any code of the team's may have failed.
            yield f"{place}: " + OFFLINE.format(error=repr(error))
            continue
        migration = Migration(schema)
        for statement in statements(sql):
            migration.take(statement)
        declared = getattr(script.module, "ready_since", {})
        for text in _texts(migration, declared, releases):
            yield f"{place}: {text}"


def print_upgrade(module: ModuleType) -> str:
    """The SQL of a migration."""
    output = io.StringIO()
    options: dict[str, Any] = {
        "as_sql": True,
        "literal_binds": True,
        "output_buffer": output,
    }
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        module.upgrade()
    return output.getvalue()


def _texts(
    migration: Migration, declared: dict[str, object], releases: Releases
) -> Iterator[str]:
    open_names = set(declared)
    for fault in migration.faults:
        if not fault.may_be_declared or fault.name not in declared:
            yield fault.text
            continue
        open_names.discard(fault.name)
        try:
            objections = list(releases.objections(fault, declared[fault.name]))
        except Unreadable as error:
            objections = [f"the models cannot be read: {error}"]
        for objection in objections:
            yield f"{fault.what}, but {objection}."
    for name in sorted(open_names):
        yield f"ready_since names {name}, to which the migration does nothing."


def main() -> int:
    """Print all faults; 1 if there is one."""
    faults = list(find_faults())
    for fault in faults:
        print(fault, end="\n\n", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
