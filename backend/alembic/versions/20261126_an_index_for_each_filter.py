"""An index for each filter of the lists, so that no filter scans the whole table

Revision: 0004, after 0003
"""

from typing import Any

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES: list[tuple[str, str, list[str], dict[str, Any]]] = [
    ("ix_records_task_status", "data_processing_records", ["task_status", "id"], {}),
    ("ix_records_task_type", "data_processing_records", ["task_type", "id"], {}),
    ("ix_records_queue_name", "data_processing_records", ["queue_name", "id"], {}),
    (
        "ix_records_created_at",
        "data_processing_records",
        ["created_at"],
        {"postgresql_using": "brin"},
    ),
    ("ix_task_logs_queue_name", "task_logs", ["queue_name", "id"], {}),
    ("ix_task_logs_service_name", "task_logs", ["service_name", "id"], {}),
    ("ix_task_logs_status", "task_logs", ["status", "id"], {}),
]


def upgrade() -> None:
    # CONCURRENTLY lets writes continue, and must not run in a transaction. An
    # interrupted run leaves an invalid index behind, so drop it and build it again.
    with op.get_context().autocommit_block():
        for name, table, columns, options in INDEXES:
            drop(name)
            op.create_index(
                name, table, columns, postgresql_concurrently=True, **options
            )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, *_ in INDEXES:
            drop(name)


def drop(name: str) -> None:
    op.drop_index(name, postgresql_concurrently=True, if_exists=True)
