"""Partners: the longest life of a certificate that needs no evidence of its status; none for those that there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_NAMES = (
    "id, tenant, name, revocation, max_staleness, refresh, allow_private, crl_urls, ocsp_urls, source, kind, domain, "
    "groups, everyone, permitted, excluded, created_at, removed_at"
)
_BEFORE = "\tmax_staleness BIGINT NOT NULL, \n"


def upgrade() -> None:
    """Add the column."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
        return
    op.add_column("partners", sa.Column("short_lived", sa.BigInteger(), nullable=True))
    op.execute("UPDATE partners SET short_lived = 0")
    op.alter_column("partners", "short_lived", nullable=False)


def _rebuild() -> None:
    """SQLite adds a column only at the end, and the text of the table would be another."""
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'partners'")
    text = op.get_bind().execute(made).scalar_one()
    if _BEFORE not in text:
        raise RuntimeError("the table partners is another than this migration knows")
    op.drop_index("uq_partners_name_in_use", table_name="partners")
    op.rename_table("partners", "partners_before")
    op.execute(text.replace(_BEFORE, f"{_BEFORE}\tshort_lived BIGINT NOT NULL, \n"))
    op.execute(
        f"INSERT INTO partners ({_NAMES}, short_lived) SELECT {_NAMES}, 0 FROM partners_before"  # noqa: S608 - constants of this file
    )
    op.drop_table("partners_before")
    op.create_index(
        "uq_partners_name_in_use",
        "partners",
        ["tenant", "name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
    )
