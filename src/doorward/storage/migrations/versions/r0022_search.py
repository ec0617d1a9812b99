"""The search index of the audit log; and an index of the ends of valid certificates that goes on with their ids.

The table is empty at first: `serve` fills it from the log. Certificates that end at the same time are listed by id.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Make the table, and the index again."""
    op.create_table(
        "log_index",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("span", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bucket", "span", name=op.f("pk_log_index")),
    )
    op.drop_index("ix_certificates_ending", "certificates")
    valid = sa.text("state = 'valid'")
    op.create_index(
        "ix_certificates_ending",
        "certificates",
        ["tenant", "not_after", "id"],
        sqlite_where=valid,
        postgresql_where=valid,
    )
