"""How a record's task was published, so that the sweep can publish it the same way

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no table rewrite, and old code can still insert.
    op.add_column("data_processing_records", sa.Column("priority", sa.String))
    op.add_column("data_processing_records", sa.Column("traceparent", sa.String(64)))


def downgrade() -> None:
    op.drop_column("data_processing_records", "traceparent")
    op.drop_column("data_processing_records", "priority")
