"""The tables of second factors and of sessions, on the same metadata as `schema`.

Not here: queries (`repositories`), the meaning of the columns (`stores.factor_records`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, text

from doorward.core.factor_kinds import FactorKind
from doorward.storage.schema_metadata import metadata, tenant_column
from doorward.storage.types import EnumText, Timestamp, closed_list


def _index_where(name: str, table: Table, *columns: str, where: str) -> None:
    condition = text(where)
    chosen = [table.c[column] for column in columns]
    Index(name, *chosen, unique=True, sqlite_where=condition, postgresql_where=condition)


factors = Table(
    "factors",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("kind", EnumText(FactorKind), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("credential_id", Text, nullable=False),  # empty if it is no passkey
    Column("counter", BigInteger, nullable=False),
    Column("rp_id", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("last_used_at", Timestamp),
    closed_list("kind", FactorKind),
)
Index("ix_factors_principal", factors.c.tenant, factors.c.principal_id)
_index_where("uq_factors_credential_in_use", factors, "tenant", "credential_id", where="credential_id <> ''")

enrolment_rights = Table(
    "enrolment_rights",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),  # empty: any certificate of the principal
    Column("token_sha256", Text, nullable=False),  # empty: no token is needed
    Column("strongest", Text, nullable=False),  # a kind of factor
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp),
)
Index(
    "ix_enrolment_rights_principal",
    enrolment_rights.c.tenant,
    enrolment_rights.c.principal_id,
    enrolment_rights.c.expires_at,  # otherwise SQLite scans all open rights of the principal
)
Index("ix_enrolment_rights_expires_at", enrolment_rights.c.tenant, enrolment_rights.c.expires_at)
_index_where(
    "uq_enrolment_rights_token_in_use", enrolment_rights, "tenant", "token_sha256", where="token_sha256 <> ''"
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("certificate_sha256", Text, nullable=False),
    Column("application_id", Text, nullable=False),
    Column("token_sha256", Text, nullable=False),  # empty for a session of an application
    Column("source", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("factors", Text, nullable=False),  # JSON: kind to microseconds since 1970
    Column("created_at", Timestamp, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
    Column("ends_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
)
Index("ix_sessions_principal", sessions.c.tenant, sessions.c.principal_id, sessions.c.ends_at)
Index("ix_sessions_certificate", sessions.c.tenant, sessions.c.certificate_id, sessions.c.ends_at)
Index("ix_sessions_ends_at", sessions.c.tenant, sessions.c.ends_at)
_index_where("uq_sessions_token_in_use", sessions, "tenant", "token_sha256", where="token_sha256 <> ''")

step_ups = Table(
    "step_ups",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("principal_id", Text, nullable=False),
    Column("certificate_sha256", Text, nullable=False),
    Column("application_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("return_path", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
)
Index("ix_step_ups_certificate", step_ups.c.tenant, step_ups.c.certificate_sha256, step_ups.c.created_at)
Index("ix_step_ups_principal", step_ups.c.tenant, step_ups.c.principal_id)
Index("ix_step_ups_expires_at", step_ups.c.tenant, step_ups.c.expires_at)

session_codes = Table(
    "session_codes",
    metadata,
    Column("code_sha256", Text, primary_key=True),
    tenant_column(),
    Column("session_id", Text, nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("certificate_sha256", Text, nullable=False),
    Column("application_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("return_path", Text, nullable=False),
    Column("factors", Text, nullable=False),  # as in `sessions`
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
)
Index("ix_session_codes_principal", session_codes.c.tenant, session_codes.c.principal_id)
Index("ix_session_codes_expires_at", session_codes.c.tenant, session_codes.c.expires_at)

session_epochs = Table(
    "session_epochs",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("principal_id", Text, primary_key=True),  # empty: all
    Column("application_id", Text, primary_key=True),  # empty: all applications of the principal
    Column("counter", BigInteger, nullable=False),
)

throttles = Table(
    "throttles",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("last_at", Timestamp, nullable=False),
    Column("blocked_until", Timestamp),
)
Index("ix_throttles_last_at", throttles.c.tenant, throttles.c.last_at)

holder_notes = Table(
    "holder_notes",
    metadata,
    Column("certificate_id", Text, primary_key=True),
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("lost_at", Timestamp),
)

session_keys = Table(
    "session_keys",
    metadata,
    Column("id", Text, primary_key=True),
    tenant_column(),
    Column("public_jwk", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("retired_at", Timestamp),
)
