"""The queue of a record's service, so that accepted work finds the one it is for

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without default: no rewrite, and the old code goes on writing. No
    # backfill either: the name of the queue is a setting, which a migration does not
    # know, and it would write every row anew to say what NULL says as well: this is
    # a record of the service named data.
    op.add_column("data_processing_records", sa.Column("queue_name", sa.String))


def downgrade() -> None:
    op.drop_column("data_processing_records", "queue_name")
