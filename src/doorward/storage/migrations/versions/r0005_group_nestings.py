"""Groups in groups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table that says which group lies in which."""
    op.create_table(
        "group_nestings",
        sa.Column("inner_id", sa.Text(), nullable=False),
        sa.Column("outer_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["inner_id"], ["groups.id"], name=op.f("fk_group_nestings_inner_id")),
        sa.ForeignKeyConstraint(["outer_id"], ["groups.id"], name=op.f("fk_group_nestings_outer_id")),
        sa.PrimaryKeyConstraint("inner_id", "outer_id", name=op.f("pk_group_nestings")),
    )
    op.create_index(op.f("ix_group_nestings_outer_id"), "group_nestings", ["outer_id"], unique=False)
