"""The owner of records and log rows

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = [
    ("ix_records_owner", "data_processing_records"),
    ("ix_task_logs_owner", "task_logs"),
]


def upgrade() -> None:
    # One table at a time: requests write to both in one statement, and a transaction
    # that has locked one and waits for the other would end in a deadlock with them.
    with op.get_context().autocommit_block():
        for name, table in INDEXES:
            # Again after an interrupted run.
            op.add_column(table, sa.Column("owner", sa.String(255)), if_not_exists=True)
            # As in 0004: writes continue meanwhile.
            op.drop_index(name, postgresql_concurrently=True, if_exists=True)
            op.create_index(name, table, ["owner", "id"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, table in INDEXES:
            op.drop_index(name, if_exists=True)
            op.drop_column(table, "owner", if_exists=True)
