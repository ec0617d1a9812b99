"""Keys and lines of certificates, and the two certificates of an invitation.

The table of certificates is copied, with the digest of each key, in batches; a crash leaves the old schema, because all
migrations run in one transaction. PostgreSQL takes the new columns in place.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

revision = "0008"
down_revision = "0007"

_BATCH = 500
"""Rows in memory; a certificate has about 1 KiB."""

_NAMES = (
    "id, tenant, authority_id, serial, sha256, profile, state, not_before, not_after, created_at, principal_id, "
    "subject_name, reason, revoked_at, replaces"
)
_INDEXES = {
    "created": ["tenant", "created_at", "id"],
    "ending": ["tenant", "state", "not_after"],
    "principal": ["tenant", "principal_id", "created_at", "id"],
    "profile": ["tenant", "profile", "created_at", "id"],
    "state": ["tenant", "state", "created_at", "id"],
}


def upgrade() -> None:
    """Add the columns and the table, and fill them."""
    if op.get_bind().dialect.name == "sqlite":
        _copy_certificates()
        _copy_invitations()
    else:
        _extend_certificates()
        op.add_column("invitations", sa.Column("made_from", sa.Text(), nullable=True))
        op.execute("UPDATE invitations SET made_from = ''")
        op.alter_column("invitations", "made_from", nullable=False)
    op.execute(
        "UPDATE invitations SET made_from = certificate_id, certificate_id = '' "
        "WHERE used_at IS NULL AND certificate_id <> ''"
    )
    op.create_index("ix_certificates_key", "certificates", ["spki_sha256", "tenant"])
    op.create_index("ix_certificates_replaces", "certificates", ["replaces", "tenant"])
    _create_suspected_clones()


def digest_key(state: str, der: bytes) -> str:
    """Return the SHA-256 of the SubjectPublicKeyInfo; empty for an intent, or if the key cannot be read."""
    if state == "intended":  # `der` is not a certificate, and this key was never certified
        return ""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    except Exception:  # noqa: BLE001 - a partner may use a key of any kind; the library raises several kinds
        return ""


def _batches(table: str) -> Any:
    """Yield the id, state and content of all certificates, some at a time."""
    bind, after = op.get_bind(), ""
    some = sa.text(f"SELECT id, state, der FROM {table} WHERE id > :after ORDER BY id LIMIT {_BATCH}")  # noqa: S608 - constants of this file
    while rows := bind.execute(some, {"after": after}).all():
        yield [{"of": id_, "key": digest_key(state, bytes(der))} for id_, state, der in rows]
        after = rows[-1][0]


def _copy_certificates() -> None:
    for name in _INDEXES:
        op.drop_index(f"ix_certificates_{name}", table_name="certificates")
    op.rename_table("certificates", "certificates_before")
    _create_certificates()
    copy = sa.text(
        f"INSERT INTO certificates ({_NAMES}, spki_sha256, der) "  # noqa: S608 - constants of this file
        f"SELECT {_NAMES}, :key, der FROM certificates_before WHERE id = :of"
    )
    for batch in _batches("certificates_before"):
        op.get_bind().execute(copy, batch)
    op.drop_table("certificates_before")
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_certificates_{name}", "certificates", columns)


def _extend_certificates() -> None:
    op.add_column("certificates", sa.Column("spki_sha256", sa.Text(), nullable=True))
    fill = sa.text("UPDATE certificates SET spki_sha256 = :key WHERE id = :of")
    for batch in _batches("certificates"):
        op.get_bind().execute(fill, batch)
    op.alter_column("certificates", "spki_sha256", nullable=False)


def _create_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("authority_id", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("subject_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("replaces", sa.Text(), nullable=False),
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "reason IN ('unspecified', 'key-compromise', 'ca-compromise', 'affiliation-changed', 'superseded', 'cessation-of-operation', 'certificate-hold', 'privilege-withdrawn', 'aa-compromise')",
            name=op.f("ck_certificates_reason_known"),
        ),
        sa.CheckConstraint(
            "state IN ('intended', 'valid', 'on-hold', 'revoked')", name=op.f("ck_certificates_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificates")),
        sa.UniqueConstraint("serial", "authority_id", name=op.f("uq_certificates_serial_authority_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_certificates_sha256")),
    )


def _copy_invitations() -> None:
    op.drop_index("ix_invitations_principal", table_name="invitations")
    op.rename_table("invitations", "invitations_before")
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("voided_at", sa.BigInteger(), nullable=True),
        sa.Column("made_from", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_invitations_token_sha256")),
    )
    names = (
        "id, tenant, principal_id, token_sha256, created_at, expires_at, used_at, certificate_id, voided_at"
    )
    op.execute(
        f"INSERT INTO invitations ({names}, made_from) SELECT {names}, '' FROM invitations_before"  # noqa: S608 - constants of this file
    )
    op.drop_table("invitations_before")
    op.create_index("ix_invitations_principal", "invitations", ["tenant", "principal_id"])


def _create_suspected_clones() -> None:
    op.create_table(
        "suspected_clones",
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("shown_id", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("untold", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("certificate_id", name=op.f("pk_suspected_clones")),
    )
    op.create_index("ix_suspected_clones_last_at", "suspected_clones", ["tenant", "last_at"])
