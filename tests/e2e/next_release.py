"""What the next release may do to the schema: it contracts."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from alembic.script import ScriptDirectory

from local.apps import BACKEND, ROOT
from local.migrations.__main__ import find_faults
from tests.e2e.last_release import run

VERSION = "1000.0.0"  # this tree's, once it is released

# This release writes an id with each record. The last one had no such column: NULL
# stands in what it stores, which ends here.
CONTRACT = '''\
"""Records have the id of their request."""

from alembic import op

revision, down_revision, branch_labels, depends_on = "next", {head!r}, None, None
ready_since = {{"data_processing_records.has_correlation_id": {version!r}}}

FILL = """
UPDATE data_processing_records SET correlation_id = task_id WHERE id IN (
    SELECT id FROM data_processing_records WHERE correlation_id IS NULL LIMIT 100)
"""
ALTER = "ALTER TABLE data_processing_records "
RULE = "CONSTRAINT has_correlation_id "


def upgrade():
    op.execute(ALTER + "ADD " + RULE + "CHECK (correlation_id IS NOT NULL) NOT VALID")
    context = op.get_context()
    if not context.as_sql:
        with context.autocommit_block():
            while context.bind.exec_driver_sql(FILL).rowcount:
                pass
    op.execute(ALTER + "VALIDATE " + RULE)


def downgrade():
    op.execute(ALTER + "DROP " + RULE)
'''


class NextRelease:
    """This tree's backend with one more migration."""

    def __init__(self, folder: Path) -> None:
        self.backend = folder / "backend"
        without = shutil.ignore_patterns("tests", "__pycache__")
        shutil.copytree(BACKEND, self.backend, ignore=without)
        (self.backend / "pyproject.toml").write_text(f'version = "{VERSION}"\n')
        head = ScriptDirectory(str(self.backend / "alembic")).get_current_head()
        text = CONTRACT.format(head=head, version=VERSION)
        (self.backend / "alembic/versions/contract.py").write_text(text)
        self.faults = [*find_faults(folder)]

    def alembic(self, env: Mapping[str, str], *arguments: str) -> None:
        """Run its migrations. Raises ProcessFailed."""
        env = {**env, "PYTHONPATH": f"{BACKEND}:{ROOT}"}
        run([sys.executable, "-m", "alembic", *arguments], self.backend, env)
