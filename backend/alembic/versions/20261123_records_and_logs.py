"""Processing records and task logs

Revision: 0001, after nothing
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _timestamp(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "data_processing_records",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("task_id", sa.String(64), nullable=False, unique=True),
        sa.Column("payload", sa.JSON, nullable=True),
        sa.Column("description", sa.String, nullable=True),
        sa.Column("task_type", sa.String, nullable=True),
        sa.Column("task_status", sa.String, nullable=False),
        sa.Column("outcome", sa.JSON, nullable=True),
        _timestamp("created_at"),
        _timestamp("updated_at"),
    )
    op.create_index(
        "ix_records_processing",
        "data_processing_records",
        ["updated_at"],
        postgresql_where=sa.text("task_status = 'Processing'"),
    )
    op.create_table(
        "task_logs",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("correlation_id", sa.String(128), nullable=False),
        sa.Column("queue_name", sa.String, nullable=False),
        sa.Column("service_name", sa.String, nullable=False),
        sa.Column("task_type", sa.String, nullable=True),
        sa.Column("description", sa.String, nullable=True),
        sa.Column("status", sa.String, nullable=False),
        _timestamp("created_at"),
    )
    op.create_index("ix_task_logs_task_id", "task_logs", ["task_id"])
    op.create_index("ix_task_logs_correlation_id", "task_logs", ["correlation_id"])
    op.create_index(
        "ix_task_logs_created_at", "task_logs", ["created_at"], postgresql_using="brin"
    )


def downgrade() -> None:
    op.drop_table("task_logs")
    op.drop_table("data_processing_records")
