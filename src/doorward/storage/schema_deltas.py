"""The tables behind delta CRLs.

    status_changes  which certificate was revoked, held or released by which change, until no CRL needs it
    crl_bases       complete CRLs that name a delta and have not ended

The state of a certificate is in `certificates` alone: a change only points to it, so the two cannot disagree.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from doorward.storage.schema_metadata import metadata
from doorward.storage.types import SerialNumber, Timestamp

status_changes = Table(
    "status_changes",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("authority_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("serial", SerialNumber, nullable=False),
    sqlite_with_rowid=False,
)

crl_bases = Table(
    "crl_bases",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("authority_id", Text, primary_key=True),
    Column("partition", Text, primary_key=True),  # empty: the full list
    Column("number", BigInteger, primary_key=True),
    Column("this_update", Timestamp, nullable=False),
    Column("next_update", Timestamp, nullable=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
)
