"""Webhooks and their deliveries

Revision: 0007, after 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def moment(name: str, *, nullable: bool = True) -> Any:
    kind = sa.DateTime(timezone=True)
    now = None if nullable else sa.func.now()
    return sa.Column(name, kind, server_default=now, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("owner", sa.String(255)),
        sa.Column("events_of", sa.String(255)),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("types", sa.JSON, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("previous_secret", sa.String),
        moment("previous_secret_until"),
        sa.Column("position", sa.BigInteger, nullable=False),
        moment("disabled_at"),
        sa.Column("disabled_reason", sa.String),
        moment("failing_since"),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
        moment("resume_at", nullable=False),
        sa.Column("leased_by", sa.Uuid),
        moment("leased_until"),
        moment("created_at", nullable=False),
    )
    op.create_index("ix_webhooks_owner", "webhooks", ["owner", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column(
            "webhook_id",
            sa.BigInteger,
            sa.ForeignKey(
                "webhooks.id",
                ondelete="CASCADE",
                name="webhook_deliveries_webhook_id_fkey",
            ),
            nullable=False,
        ),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        moment("first_attempt_at"),
        moment("last_attempt_at"),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
        ),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.String),
        moment("created_at", nullable=False),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id", "id"]
    )
    op.create_index(
        "ix_webhook_deliveries_event",
        "webhook_deliveries",
        ["webhook_id", "sequence"],
        unique=True,
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["webhook_id", "next_attempt_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_created_at",
        "webhook_deliveries",
        ["created_at"],
        postgresql_using="brin",
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
