"""The table of lines of certificates with two holders of keys.

Not here: lines themselves, which are the column `replaces` of the inventory (`schema`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import Timestamp

suspected_clones = Table(
    "suspected_clones",
    metadata,
    Column("certificate_id", Text, primary_key=True),
    tenant_column(),
    Column("shown_id", Text, nullable=False),
    Column("first_at", Timestamp, nullable=False),
    Column("last_at", Timestamp, nullable=False),
    Column("told_at", Timestamp, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("untold", BigInteger, nullable=False),
)
Index("ix_suspected_clones_last_at", suspected_clones.c.tenant, suspected_clones.c.last_at)
