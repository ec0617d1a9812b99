"""The audit log: events in blocks, and the tree's hashes in tiles of 256 instead of a row for each.

Leaves, openings and checkpoints stay as they are. A hash that is missing in an altered log becomes 32 zero bytes, which
`doorward audit verify` finds.
"""

from __future__ import annotations

from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"

_HASH, _TILE = 32, 256
_ROWS = 65_536
"""Hashes that are read at a time."""


def upgrade() -> None:
    """Make the tables, then move the hashes."""
    _extend_outbox()
    op.create_table(
        "log_segments",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "first", name=op.f("pk_log_segments")),
    )
    op.create_table(
        "log_blocks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("block_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "first", name=op.f("pk_log_blocks")),
        sa.UniqueConstraint("block_id", name=op.f("uq_log_blocks_block_id")),
    )
    op.create_table(
        "log_tiles",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "level", "number", name=op.f("pk_log_tiles")),
    )
    op.create_table(
        "log_block_openings",
        sa.Column("block_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("retention", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "retention IN ('operation', 'identity', 'decision', 'access')",
            name=op.f("ck_log_block_openings_retention_known"),
        ),
        sa.PrimaryKeyConstraint("block_id", "subject", name=op.f("pk_log_block_openings")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_log_block_openings_subject", "log_block_openings", ["tenant", "subject"])
    op.create_index("ix_log_block_openings_at", "log_block_openings", ["tenant", "retention", "at"])
    connection = op.get_bind()
    for (tenant,) in connection.execute(sa.text("SELECT DISTINCT tenant FROM log_leaves")).all():
        _fill(connection, tenant)
    op.drop_table("log_nodes")


def _extend_outbox() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.add_column("log_outbox", sa.Column("events", sa.Integer(), nullable=True))
        op.execute("UPDATE log_outbox SET events = 0")
        op.alter_column("log_outbox", "events", nullable=False)
        return
    op.rename_table("log_outbox", "log_outbox_before")  # SQLite adds no column without a default
    op.create_table(
        "log_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_log_outbox_event_id")),
    )
    op.execute(
        "INSERT INTO log_outbox (id, tenant, event_id, leaf, events) "
        "SELECT id, tenant, event_id, leaf, 0 FROM log_outbox_before ORDER BY id"
    )
    op.drop_table("log_outbox_before")


def _fill(connection: sa.Connection, tenant: str) -> None:
    size = connection.execute(
        sa.text("SELECT max(number) + 1 FROM log_leaves WHERE tenant = :tenant"), {"tenant": tenant}
    ).scalar_one()
    leaves = sa.text(
        "SELECT number, hash FROM log_leaves WHERE tenant = :tenant AND number >= :start AND number < :end"
    )
    nodes = sa.text(
        "SELECT number, hash FROM log_nodes "
        "WHERE tenant = :tenant AND level = :level AND number >= :start AND number < :end"
    )
    level, count = 0, int(size)
    while count:
        for start in range(0, count, _ROWS):
            end = min(start + _ROWS, count)
            values = {"tenant": tenant, "start": start, "end": end}
            rows = (
                connection.execute(nodes, {**values, "level": level})
                if level
                else connection.execute(leaves, values)
            )
            found = {number: digest for number, digest in rows if len(digest) == _HASH}
            tiles = [
                {
                    "tenant": tenant,
                    "level": level // 8,
                    "number": tile,
                    "hashes": b"".join(found.get(number, bytes(_HASH)) for number in numbers),
                }
                for tile, numbers in groupby(range(start, end), key=lambda number: number // _TILE)
            ]
            connection.execute(
                sa.text(
                    "INSERT INTO log_tiles (tenant, level, number, hashes) "
                    "VALUES (:tenant, :level, :number, :hashes)"
                ),
                tiles,
            )
        level, count = level + 8, count // _TILE
