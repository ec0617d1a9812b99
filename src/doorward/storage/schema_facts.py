"""The table of facts about certificates.

Not here: the other tables (`schema`, `schema_factors`, `schema_fleets`).
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import Timestamp

certificate_facts = Table(
    "certificate_facts",
    metadata,
    Column("certificate_id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("host_name", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("next_renewal", Timestamp),
    Column("reported_at", Timestamp),
    Column("seen_at", Timestamp),
    Column("seen_application", Text, nullable=False),
)
# The inventory asks of each principal in turn whether it was seen since a moment.
Index(
    "ix_certificate_facts_principal",
    certificate_facts.c.tenant,
    certificate_facts.c.principal_id,
    certificate_facts.c.seen_at,
)
