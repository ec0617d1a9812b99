"""Second factors, and the sessions that they open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables of both."""
    _create_factors()
    _create_enrolment_rights()
    _create_sessions()
    _create_step_ups()
    _create_session_codes()
    _create_session_epochs()
    _create_throttles()
    _create_session_keys()


def _create_unique(name: str, table: str, column: str) -> None:
    """Create an index that keeps every value but the empty one unique within a tenant."""
    filled = sa.text(f"{column} <> ''")
    op.create_index(
        op.f(name), table, ["tenant", column], unique=True, sqlite_where=filled, postgresql_where=filled
    )


def _create_factors() -> None:
    op.create_table(
        "factors",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("credential_id", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("rp_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('password', 'totp', 'webauthn', 'recovery-code')", name=op.f("ck_factors_kind_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_factors")),
    )
    op.create_index(op.f("ix_factors_principal"), "factors", ["tenant", "principal_id"])
    _create_unique("uq_factors_credential_in_use", "factors", "credential_id")


def _create_enrolment_rights() -> None:
    op.create_table(
        "enrolment_rights",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("strongest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_rights")),
    )
    op.create_index(op.f("ix_enrolment_rights_expires_at"), "enrolment_rights", ["tenant", "expires_at"])
    op.create_index(
        op.f("ix_enrolment_rights_principal"), "enrolment_rights", ["tenant", "principal_id", "expires_at"]
    )
    _create_unique("uq_enrolment_rights_token_in_use", "enrolment_rights", "token_sha256")


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_certificate"), "sessions", ["tenant", "certificate_id", "ends_at"])
    op.create_index(op.f("ix_sessions_ends_at"), "sessions", ["tenant", "ends_at"])
    op.create_index(op.f("ix_sessions_principal"), "sessions", ["tenant", "principal_id", "ends_at"])
    _create_unique("uq_sessions_token_in_use", "sessions", "token_sha256")


def _create_step_ups() -> None:
    op.create_table(
        "step_ups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("return_path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_ups")),
    )
    op.create_index(
        op.f("ix_step_ups_certificate"), "step_ups", ["tenant", "certificate_sha256", "created_at"]
    )
    op.create_index(op.f("ix_step_ups_expires_at"), "step_ups", ["tenant", "expires_at"])
    op.create_index(op.f("ix_step_ups_principal"), "step_ups", ["tenant", "principal_id"])


def _create_session_codes() -> None:
    op.create_table(
        "session_codes",
        sa.Column("code_sha256", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("return_path", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code_sha256", name=op.f("pk_session_codes")),
    )
    op.create_index(op.f("ix_session_codes_expires_at"), "session_codes", ["tenant", "expires_at"])
    op.create_index(op.f("ix_session_codes_principal"), "session_codes", ["tenant", "principal_id"])


def _create_session_epochs() -> None:
    op.create_table(
        "session_epochs",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "principal_id", "application_id", name=op.f("pk_session_epochs")),
    )


def _create_throttles() -> None:
    op.create_table(
        "throttles",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_throttles")),
    )
    op.create_index(op.f("ix_throttles_last_at"), "throttles", ["tenant", "last_at"])


def _create_session_keys() -> None:
    op.create_table(
        "session_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_keys")),
    )
