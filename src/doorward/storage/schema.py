"""Every table, as SQLAlchemy Core metadata; every row has its tenant.

Not here: migrations to this schema (`migrations`; a test compares the two), queries (`repositories`,
`event_store`). Column types are explained in `types`. The tables of second factors and sessions are in
`schema_factors`, those of device fleets in `schema_fleets`, facts in `schema_facts`, those of delta CRLs in
`schema_deltas`, those of ACME in `schema_acme`, those of the audit log in `schema_log`.

A PostgreSQL database has collation "C", because prefix look-ups compare text by code point. Check constraints enforce
the closed lists that decide about access or trust, and the retention class of erasable values. The kinds of changes
grow with the program and have no check constraint, because SQLite rebuilds a table to alter one; only `EnumText` checks
them. Rows are joined by opaque ids that are never reused and hardly ever deleted. So there are foreign keys only for
groups, because there a missing row would change a decision.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalKind, PrincipalState
from doorward.storage import schema_acme as schema_acme  # noqa: PLC0414  its tables are on this metadata
from doorward.storage import schema_deltas as schema_deltas  # noqa: PLC0414  its tables are on this metadata
from doorward.storage import schema_factors as schema_factors  # noqa: PLC0414  its tables are on this metadata
from doorward.storage import schema_facts as schema_facts  # noqa: PLC0414  so is its table
from doorward.storage import schema_fleets as schema_fleets  # noqa: PLC0414  so are its tables
from doorward.storage import schema_lines as schema_lines  # noqa: PLC0414  as above
from doorward.storage import schema_log as schema_log  # noqa: PLC0414  as above
from doorward.storage import schema_notices as schema_notices  # noqa: PLC0414  as above
from doorward.storage import schema_rollovers as schema_rollovers  # noqa: PLC0414  as above
from doorward.storage.schema_metadata import metadata as metadata  # noqa: PLC0414  for the users of this module
from doorward.storage.schema_metadata import tenant_column
from doorward.storage.types import EnumText, SerialNumber, TextList, Timestamp, WholeSeconds, closed_list
from doorward.stores.partner_records import EvidenceKind
from doorward.stores.records import AuthorityKind, ChangeKind, OrderState
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode

_COUNTED = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database assigns. SQLite assigns one for INTEGER columns only, which have 64 bits there."""


tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trust_domain", Text, nullable=False),
    Column("status_url", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

principals = Table(
    "principals",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("kind", EnumText(PrincipalKind), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", EnumText(PrincipalState), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("partner_id", Text, nullable=False),  # empty for our own
    Column("created_at", Timestamp, nullable=False),
    closed_list("kind", PrincipalKind),
    closed_list("state", PrincipalState),
)
Index(
    "uq_principals_name_in_use",
    principals.c.tenant,
    principals.c.name,
    unique=True,
    sqlite_where=text("state <> 'removed'"),
    postgresql_where=text("state <> 'removed'"),
)
# Each new name is looked up among the removed ones; without it, an import would read all principals for each row.
Index(
    "ix_principals_removed",
    principals.c.tenant,
    principals.c.name,
    sqlite_where=text("state = 'removed'"),
    postgresql_where=text("state = 'removed'"),
)
Index(
    "ix_principals_partner",
    principals.c.tenant,
    principals.c.partner_id,
    sqlite_where=text("partner_id <> ''"),
    postgresql_where=text("partner_id <> ''"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("tenant", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    # principal first: every look-up of the hot path reads the groups of one principal
    Column("principal_id", Text, ForeignKey("principals.id"), primary_key=True),
    Column("group_id", Text, ForeignKey("groups.id"), primary_key=True, index=True),
    tenant_column(),
)

group_nestings = Table(
    "group_nestings",
    metadata,
    # inner first: every look-up of the hot path reads the groups that contain a group
    Column("inner_id", Text, ForeignKey("groups.id"), primary_key=True),
    Column("outer_id", Text, ForeignKey("groups.id"), primary_key=True, index=True),
    tenant_column(),
)

applications = Table(
    "applications",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("removed_at", Timestamp),
)
Index(
    "uq_applications_name_in_use",
    applications.c.tenant,
    applications.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

authorities = Table(
    "authorities",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("kind", EnumText(AuthorityKind), nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("not_after", Timestamp, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("issuer_id", Text, nullable=False),
    Column("retired_at", Timestamp),
    Column("retired_reason", EnumText(RevocationReason)),
    closed_list("kind", AuthorityKind),
    closed_list("retired_reason", RevocationReason),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("authority_id", Text, nullable=False),
    Column("serial", SerialNumber, nullable=False),
    Column("sha256", Text, unique=True),  # NULL if the certificate is not signed yet
    Column("profile", Text, nullable=False),
    Column("state", EnumText(CertificateState), nullable=False),
    Column("not_before", Timestamp, nullable=False),
    Column("not_after", Timestamp, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("reason", EnumText(RevocationReason)),
    Column("revoked_at", Timestamp),
    Column("replaces", Text, nullable=False),
    Column("spki_sha256", Text, nullable=False),
    Column("der", LargeBinary, nullable=False),
    # serial first: one index serves (authority, serial) and a prefix that a person types
    UniqueConstraint("serial", "authority_id"),
    closed_list("state", CertificateState),
    closed_list("reason", RevocationReason),
)
# One index for each filter of a list, with the sort columns after it: a page of the console is read without
# sorting or scanning a million rows.
_IN_ORDER = (certificates.c.created_at, certificates.c.id)
Index("ix_certificates_created", certificates.c.tenant, *_IN_ORDER)
Index("ix_certificates_principal", certificates.c.tenant, certificates.c.principal_id, *_IN_ORDER)
Index(
    "ix_certificates_partner",
    certificates.c.tenant,
    *_IN_ORDER,
    sqlite_where=text("profile = 'partner'"),
    postgresql_where=text("profile = 'partner'"),
)
Index("ix_certificates_state", certificates.c.tenant, certificates.c.state, *_IN_ORDER)
Index(
    "ix_certificates_ending",
    certificates.c.tenant,
    certificates.c.not_after,
    certificates.c.id,
    sqlite_where=text("state = 'valid'"),
    postgresql_where=text("state = 'valid'"),
)
Index("ix_certificates_key", certificates.c.spki_sha256, certificates.c.tenant)
Index("ix_certificates_replaces", certificates.c.replaces, certificates.c.tenant)
# A CRL is made from this index alone: half a million rows of the table, in the order of their serial numbers, would be
# read from as many places of a gigabyte.
Index(
    "ix_certificates_listed",
    certificates.c.tenant,
    certificates.c.authority_id,
    certificates.c.serial,
    certificates.c.not_after,
    certificates.c.revoked_at,
    certificates.c.reason,
    certificates.c.state,
    sqlite_where=text("state IN ('revoked', 'on-hold')"),
    postgresql_where=text("state IN ('revoked', 'on-hold')"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("token_sha256", Text, nullable=False, unique=True),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp),
    Column("certificate_id", Text, nullable=False),
    Column("voided_at", Timestamp),
    Column("made_from", Text, nullable=False),
)
Index("ix_invitations_principal", invitations.c.tenant, invitations.c.principal_id)
Index(
    "ix_invitations_open",
    invitations.c.tenant,
    invitations.c.expires_at,
    sqlite_where=text("used_at IS NULL AND voided_at IS NULL"),
    postgresql_where=text("used_at IS NULL AND voided_at IS NULL"),
)

partners = Table(
    "partners",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("revocation", EnumText(RevocationMode), nullable=False),
    Column("max_staleness", WholeSeconds, nullable=False),
    Column("short_lived", WholeSeconds, nullable=False),
    Column("refresh", WholeSeconds, nullable=False),
    Column("allow_private", TextList, nullable=False),
    Column("crl_urls", TextList, nullable=False),
    Column("ocsp_urls", TextList, nullable=False),
    Column("source", EnumText(SanSource), nullable=False),
    Column("kind", EnumText(PrincipalKind), nullable=False),
    Column("domain", Text, nullable=False),
    Column("groups", TextList, nullable=False),
    Column("everyone", Boolean, nullable=False),
    Column("permitted", TextList, nullable=False),
    Column("excluded", TextList, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("removed_at", Timestamp),
    closed_list("revocation", RevocationMode),
    closed_list("source", SanSource),
    closed_list("kind", PrincipalKind),
)
Index(
    "uq_partners_name_in_use",
    partners.c.tenant,
    partners.c.name,
    unique=True,
    sqlite_where=text("removed_at IS NULL"),
    postgresql_where=text("removed_at IS NULL"),
)

partner_authorities = Table(
    "partner_authorities",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("partner_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("anchor", Boolean, nullable=False),
    Column("trusted", Boolean, nullable=False),  # false: kept because the inventory has certificates by it
    Column("der", LargeBinary, nullable=False),
    Column("not_after", Timestamp, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("partner_id", "sha256"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("kind", EnumText(EvidenceKind), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("about", Text, primary_key=True),  # empty for a CRL
    tenant_column(),
    Column("try_at", Timestamp, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("this_update", Timestamp),
    Column("next_update", Timestamp),
    Column("fetched_at", Timestamp),
    Column("failures", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("unusable", Boolean, nullable=False),
    Column("der", LargeBinary, nullable=False),  # empty if it is in pieces
    closed_list("kind", EvidenceKind),
)
Index("ix_evidence_due", evidence.c.tenant, evidence.c.try_at)
Index("ix_evidence_sha256", evidence.c.tenant, evidence.c.sha256)

evidence_pieces = Table(
    "evidence_pieces",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

revocations_seen = Table(
    "revocations_seen",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("issuer_key", Text, primary_key=True),  # SHA-256 of its bits
    Column("serial", SerialNumber, primary_key=True),
    tenant_column(),
    Column("certificate", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("this_update", Timestamp, nullable=False),
    Column("evidence", Text, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    CheckConstraint("number >= 1", name="number_positive"),
)

change_counters = Table(
    "change_counters",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("kind", EnumText(ChangeKind), nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("confirmed_seq", BigInteger, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
    Column("status", Text, nullable=False),
    Column("assertion_jwk", Text, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("gateway_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("hosts", TextList, nullable=False),
    Column("csr", LargeBinary, nullable=False),
    Column("state", EnumText(OrderState), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("refusal", Text, nullable=False),
    closed_list("state", OrderState),
)
Index("ix_orders_state", orders.c.tenant, orders.c.state)

crl_heads = Table(
    "crl_heads",
    metadata,
    Column("authority_id", Text, primary_key=True),
    Column("partition", Text, primary_key=True),  # empty: the full list
    tenant_column(),
    Column("number", BigInteger, nullable=False),
    Column("this_update", Timestamp, nullable=False),
    Column("next_update", Timestamp, nullable=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),  # of the DER, which is in pieces
)

crl_pieces = Table(
    "crl_pieces",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

ocsp_answers = Table(
    "ocsp_answers",
    metadata,
    Column("certificate_id", Text, primary_key=True),
    Column("hash_name", Text, primary_key=True),  # empty: the answers are not signed yet
    tenant_column(),
    Column("der", LargeBinary, nullable=False),
    Column("next_update", Timestamp, nullable=False),
)
# A query for due answers reads only this index, and only its due part. The tenant is last: if it were first, SQLite
# would use this index for the answers of one certificate, and read all of it.
Index(
    "ix_ocsp_answers_due",
    ocsp_answers.c.next_update,
    ocsp_answers.c.certificate_id,
    ocsp_answers.c.tenant,
)

ingest_positions = Table(
    "ingest_positions",
    metadata,
    Column("gateway_id", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    tenant_column(),
    Column("position", BigInteger, nullable=False),
    CheckConstraint("position >= 0", name="position_positive"),
)

event_counts = Table(
    "event_counts",
    metadata,
    Column("gateway_id", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    tenant_column(),
    Column("state", Text, nullable=False),
)

# Pages that are reserved for withdrawals: deleting rows frees pages in a file that cannot grow (`sqlite.reserve`).
reserve = Table(
    "reserve",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("filler", LargeBinary, nullable=False),
    info={"only": "sqlite"},
)


def tables_of(dialect: str) -> list[Table]:
    """Return the tables of a database of this kind, each after the tables that it references."""
    return [one for one in metadata.sorted_tables if one.info.get("only", dialect) == dialect]
