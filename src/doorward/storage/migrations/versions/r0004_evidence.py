"""Evidence: what came last and cannot be used, revocations that were seen, and a mode that lets in all the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Give evidence its column, partners their word, and the revocations a table."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_both()
    else:
        _alter_both()
    _create_revocations_seen()


def _alter_both() -> None:
    op.add_column("evidence", sa.Column("unusable", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("evidence", "unusable", server_default=None)
    op.drop_constraint(op.f("ck_partners_revocation_known"), "partners")
    op.create_check_constraint(
        op.f("ck_partners_revocation_known"),
        "partners",
        "revocation IN ('require', 'prefer', 'unsafe-prefer', 'off')",
    )


def _rebuild_both() -> None:
    columns = (
        "partner_id, kind, source, about, tenant, try_at, sha256, etag, this_update, next_update, fetched_at, "
        "failures, problem"
    )
    _rebuild(
        "evidence",
        ("\tproblem TEXT NOT NULL, \n", "\tproblem TEXT NOT NULL, \n\tunusable BOOLEAN NOT NULL, \n"),
        f"({columns}, unusable, der) SELECT {columns}, 0, der",
    )
    _rebuild("partners", ("'prefer', 'off'", "'prefer', 'unsafe-prefer', 'off'"), "SELECT *")


def _create_revocations_seen() -> None:
    op.create_table(
        "revocations_seen",
        sa.Column("partner_id", sa.Text(), nullable=False),
        sa.Column("issuer_key", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "issuer_key", "serial", name=op.f("pk_revocations_seen")),
    )


def _rebuild(table: str, change: tuple[str, str], rows: str) -> None:
    """Rebuild a table with one piece of its text changed: SQLite alters no check, and adds columns at the end only."""
    connection = op.get_bind()
    made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
    indexes = sa.text(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name AND sql IS NOT NULL"
    )
    text = connection.execute(made, {"name": table}).scalar_one()
    if change[0] not in text:
        raise RuntimeError(f"the table {table} is another than this migration knows")
    kept = connection.execute(indexes, {"name": table}).all()
    for name, _ in kept:
        op.execute(f"DROP INDEX {name}")
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
    op.execute(text.replace(*change))
    op.execute(f"INSERT INTO {table} {rows} FROM {table}_before")
    op.execute(f"DROP TABLE {table}_before")
    for _, index in kept:
        op.execute(index)
