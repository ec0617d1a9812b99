"""Partners: which private networks may be asked, and addresses of evidence that are given by hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_EVERY = (
    '["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"]'
)


def upgrade() -> None:
    """Give a partner that was allowed private addresses every private network, and others none."""
    op.drop_index("uq_partners_name_in_use", table_name="partners")
    op.rename_table("partners", "partners_before")
    if op.get_bind().dialect.name == "postgresql":  # the name of an index is taken in the whole schema
        op.drop_constraint("pk_partners", "partners_before")
    _create_partners()
    names = "id, tenant, name, revocation, max_staleness, refresh"
    rest = "source, kind, domain, groups, everyone, permitted, excluded, created_at, removed_at"
    networks = f"CASE WHEN allow_private THEN '{_EVERY}' ELSE '[]' END"
    op.execute(
        f"INSERT INTO partners ({names}, allow_private, crl_urls, ocsp_urls, {rest}) "  # noqa: S608 - constants of this file
        f"SELECT {names}, {networks}, '[]', '[]', {rest} FROM partners_before"
    )
    op.drop_table("partners_before")


def _create_partners() -> None:
    op.create_table(
        "partners",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revocation", sa.Text(), nullable=False),
        sa.Column("max_staleness", sa.BigInteger(), nullable=False),
        sa.Column("refresh", sa.BigInteger(), nullable=False),
        sa.Column("allow_private", sa.Text(), nullable=False),
        sa.Column("crl_urls", sa.Text(), nullable=False),
        sa.Column("ocsp_urls", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("everyone", sa.Boolean(), nullable=False),
        sa.Column("permitted", sa.Text(), nullable=False),
        sa.Column("excluded", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "revocation IN ('require', 'prefer', 'off')", name=op.f("ck_partners_revocation_known")
        ),
        sa.CheckConstraint(
            "source IN ('email', 'dns', 'uri', 'subject')", name=op.f("ck_partners_source_known")
        ),
        sa.CheckConstraint("kind IN ('person', 'device', 'service')", name=op.f("ck_partners_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partners")),
    )
    op.create_index(
        "uq_partners_name_in_use",
        "partners",
        ["tenant", "name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
