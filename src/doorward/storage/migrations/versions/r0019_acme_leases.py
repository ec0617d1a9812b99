"""ACME: the word of a lease, tries counted for each gateway, and pauses of directories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0016"


def upgrade() -> None:
    """Add the column and the table; begin to count tries again."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        op.add_column("acme_orders", sa.Column("lease", sa.Text(), nullable=True))
    op.drop_table("acme_tries")
    op.create_table(
        "acme_tries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "gateway_id", "host", "day", name=op.f("pk_acme_tries")),
    )
    op.create_table(
        "acme_pauses",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "directory", name=op.f("pk_acme_pauses")),
    )


def _rebuild() -> None:
    """SQLite adds a column only at the end, and the text of the table would be another."""
    op.rename_table("acme_orders", "acme_orders_former")
    op.create_table(
        "acme_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("problem_code", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("renew_at", sa.BigInteger(), nullable=True),
        sa.Column("ask_again_at", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_acme_orders")),
    )
    op.execute("INSERT INTO acme_orders SELECT *, NULL FROM acme_orders_former")
    op.drop_table("acme_orders_former")
