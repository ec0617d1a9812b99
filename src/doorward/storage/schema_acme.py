"""The tables about ACME authorities.

Not here: the other tables (`schema`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import Timestamp

acme_accounts = Table(
    "acme_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("directory", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

acme_orders = Table(
    "acme_orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    tenant_column(),
    Column("directory", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("next_try_at", Timestamp),
    Column("leased_until", Timestamp),
    Column("failing_since", Timestamp),
    Column("problem_code", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("ends_at", Timestamp),
    Column("renew_at", Timestamp),
    Column("ask_again_at", Timestamp),
    Column("lease", Text),
)

acme_challenges = Table(
    "acme_challenges",
    metadata,
    Column("token", Text, primary_key=True),
    tenant_column(),
    Column("order_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("authorization_text", Text, nullable=False),
    Column("ends_at", Timestamp, nullable=False),
)
Index("ix_acme_challenges_order_id", acme_challenges.c.order_id)

acme_tries = Table(
    "acme_tries",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("gateway_id", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("tries", BigInteger, nullable=False),
)

acme_pauses = Table(
    "acme_pauses",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("directory", Text, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("until", Timestamp, nullable=False),
)
