"""Rollovers of the issuing authority: which authority signed which, which one is trusted no more, and the rollovers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_STATES = (
    "requested",
    "prepared",
    "active",
    "draining",
    "reverting",
    "retiring",
    "retired",
    "withdrawing",
    "withdrawn",
)
_BEFORE = "id, tenant, kind, der, key_name, created_at, not_after, current"
_ISSUER = (
    "CASE kind WHEN 'root' THEN '' "
    "WHEN 'issuing' THEN coalesce((SELECT id FROM authorities_before WHERE kind = 'root'), '') "
    "ELSE coalesce((SELECT id FROM authorities_before WHERE kind = 'issuing'), '') END"
)
"""Before this revision there was one root, and one issuing authority."""


def upgrade() -> None:
    """Give the authorities their columns, and rollovers a table."""
    op.rename_table("authorities", "authorities_before")
    if op.get_bind().dialect.name == "postgresql":  # the name of an index is taken in the whole schema
        op.drop_constraint("pk_authorities", "authorities_before")
    op.create_table(
        "authorities",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("issuer_id", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('root', 'issuing', 'ocsp-responder')", name=op.f("ck_authorities_kind_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorities")),
    )
    op.execute(
        f"INSERT INTO authorities ({_BEFORE}, issuer_id) SELECT {_BEFORE}, {_ISSUER} FROM authorities_before"  # noqa: S608 - constants of this file
    )
    op.drop_table("authorities_before")
    _create_rollovers()


def _create_rollovers() -> None:
    op.create_table(
        "rollovers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("old_id", sa.Text(), nullable=False),
        sa.Column("new_id", sa.Text(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("spread", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(f"state IN {_STATES}", name=op.f("ck_rollovers_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollovers")),
    )
    open_ones = sa.text("state NOT IN ('retired', 'withdrawn')")
    op.create_index(
        "uq_rollovers_in_use",
        "rollovers",
        ["tenant"],
        unique=True,
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
