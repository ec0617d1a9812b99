"""Facts about certificates: what agents report, and when a door saw them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the table of facts."""
    op.create_table(
        "certificate_facts",
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("host_name", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("next_renewal", sa.BigInteger(), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_application", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("certificate_id", name=op.f("pk_certificate_facts")),
    )
    op.create_index(
        "ix_certificate_facts_principal", "certificate_facts", ["tenant", "principal_id", "seen_at"]
    )
