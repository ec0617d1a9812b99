"""The tables of mail addresses and of notices.

Not here: the ends of certificates, which are in the inventory (`schema`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, UniqueConstraint

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import Timestamp

mail_addresses = Table(
    "mail_addresses",
    metadata,
    Column("principal_id", Text, primary_key=True),
    tenant_column(),
    Column("address", Text, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("days", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("try_at", Timestamp, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("done_at", Timestamp),
    UniqueConstraint("mark", "tenant"),
)
Index("ix_notices_due", notices.c.tenant, notices.c.outcome, notices.c.try_at)
Index("ix_notices_created", notices.c.tenant, notices.c.created_at)
Index("ix_notices_done", notices.c.tenant, notices.c.done_at)
