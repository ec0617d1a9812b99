"""The table of rollovers of the issuing authority.

Not here: the authorities themselves (`schema`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, text

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import EnumText, Timestamp, WholeSeconds, closed_list
from doorward.stores.authority_protocols import RolloverState

rollovers = Table(
    "rollovers",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("state", EnumText(RolloverState), nullable=False),
    Column("old_id", Text, nullable=False),
    Column("new_id", Text, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("began_at", Timestamp, nullable=False),
    Column("moved_at", Timestamp, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("spread", WholeSeconds, nullable=False),
    closed_list("state", RolloverState),
)
_OPEN = text("state NOT IN ('retired', 'withdrawn')")
Index("uq_rollovers_in_use", rollovers.c.tenant, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
