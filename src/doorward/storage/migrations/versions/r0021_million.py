"""Indexes for a million certificates: what CRLs list, partners' certificates and principals, open invitations.

Those of partners are few beside our own, and open invitations few beside used ones, so their indexes have only these.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Make the indexes; the one of partners' certificates replaces the index of all profiles."""
    op.drop_index("ix_certificates_profile", "certificates")
    _create("ix_certificates_partner", "certificates", ["tenant", "created_at", "id"], "profile = 'partner'")
    _create(
        "ix_certificates_listed",
        "certificates",
        ["tenant", "authority_id", "serial", "not_after", "revoked_at", "reason", "state"],
        "state IN ('revoked', 'on-hold')",
    )
    _create("ix_principals_partner", "principals", ["tenant", "partner_id"], "partner_id <> ''")
    _create(
        "ix_invitations_open",
        "invitations",
        ["tenant", "expires_at"],
        "used_at IS NULL AND voided_at IS NULL",
    )


def _create(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
