"""An index of the names of removed principals: each new name is looked up among them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_principals_removed",
        "principals",
        ["tenant", "name"],
        sqlite_where=sa.text("state = 'removed'"),
        postgresql_where=sa.text("state = 'removed'"),
    )
