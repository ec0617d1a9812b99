"""The tables of the audit log.

    log_outbox          events and blocks that are not in the tree yet
    log_leaves          leaves of single events, one a row
    log_segments        leaves of blocks, compressed, up to 1,024 in a row
    log_blocks          where each recorded block lies in the tree
    log_tiles           hashes of the tree (`audit.tiles`)
    log_openings        personal values of single events
    log_block_openings  personal values of a block, one row for each subject
    log_checkpoints     signed heads
    log_index           which leaves mention an id (`audit.index`)

Not here: their content (`log_packing`), queries (`event_store`, `event_blocks`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from doorward.audit.events import Retention
from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import EnumText, Timestamp, closed_list

_COUNTED = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database assigns. SQLite assigns one for INTEGER columns only, which have 64 bits there."""

log_outbox = Table(
    "log_outbox",
    metadata,
    Column("id", _COUNTED, primary_key=True),
    tenant_column(),
    Column("event_id", Text, nullable=False, unique=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("events", Integer, nullable=False),  # number of a block's events; 0 for a single event
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

log_segments = Table(
    "log_segments",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
)

log_blocks = Table(
    "log_blocks",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("block_id", Text, nullable=False, unique=True),
)

log_tiles = Table(
    "log_tiles",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
)

log_openings = Table(
    "log_openings",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    tenant_column(),
    Column("subject", Text, nullable=False),
    Column("retention", EnumText(Retention), nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("value", Text, nullable=False),
    closed_list("retention", Retention),
    sqlite_with_rowid=False,
)
Index("ix_log_openings_subject", log_openings.c.tenant, log_openings.c.subject)
Index("ix_log_openings_at", log_openings.c.tenant, log_openings.c.retention, log_openings.c.at)

log_block_openings = Table(
    "log_block_openings",
    metadata,
    Column("block_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    tenant_column(),
    Column("retention", EnumText(Retention), nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("number", Integer, nullable=False),  # of openings
    Column("content", LargeBinary, nullable=False),
    closed_list("retention", Retention),
    sqlite_with_rowid=False,
)
Index("ix_log_block_openings_subject", log_block_openings.c.tenant, log_block_openings.c.subject)
Index(
    "ix_log_block_openings_at",
    log_block_openings.c.tenant,
    log_block_openings.c.retention,
    log_block_openings.c.at,
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("text", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
)

log_index = Table(
    "log_index",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True),
    Column("span", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
