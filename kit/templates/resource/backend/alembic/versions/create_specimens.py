"""Create speci mens

Revision: REVISION, after PREVIOUS
"""

import sqlalchemy as sa
from alembic import op

revision = "REVISION"
down_revision = "PREVIOUS"
branch_labels = None
depends_on = None


def _timestamp(name: str) -> sa.Column[object]:
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "specimens",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("owner", sa.String(255)),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("note", sa.String),
        _timestamp("created_at"),
        _timestamp("updated_at"),
    )
    op.create_index("ix_specimens_owner", "specimens", ["owner", "id"])


def downgrade() -> None:
    op.drop_table("specimens")
