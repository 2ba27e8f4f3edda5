"""The queue of a record's service, so that accepted work reaches that service

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no table rewrite, and old code can still insert.
    # There is no backfill either: the queue's name is a setting, which a migration does
    # not know. NULL already means "a record of the service named data".
    op.add_column("data_processing_records", sa.Column("queue_name", sa.String))


def downgrade() -> None:
    op.drop_column("data_processing_records", "queue_name")
