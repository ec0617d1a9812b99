"""What is only counted of a flood, and the pages that are held for withdrawals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables; pages are held in a file of SQLite only."""
    op.create_table(
        "event_counts",
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("gateway_id", "stream", name=op.f("pk_event_counts")),
    )
    if op.get_bind().dialect.name == "sqlite":
        _create_reserve()


def _create_reserve() -> None:
    op.create_table(
        "reserve",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("filler", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reserve")),
    )
