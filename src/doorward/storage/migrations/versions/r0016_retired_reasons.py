"""Why an issuing authority was retired: the root's revocation list says it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_COLUMNS = "id, tenant, kind, der, key_name, created_at, not_after, current, issuer_id, retired_at"


def upgrade() -> None:
    """Give the authorities the reason; those that were retired before have a successor."""
    op.rename_table("authorities", "authorities_before")
    if op.get_bind().dialect.name == "postgresql":  # the name of an index is taken in the whole schema
        op.drop_constraint("pk_authorities", "authorities_before")
    op.create_table(
        "authorities",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("issuer_id", sa.Text(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('root', 'issuing', 'ocsp-responder')", name=op.f("ck_authorities_kind_known")
        ),
        sa.CheckConstraint(
            "retired_reason IN ('unspecified', 'key-compromise', 'ca-compromise', 'affiliation-changed', 'superseded', 'cessation-of-operation', 'certificate-hold', 'privilege-withdrawn', 'aa-compromise')",
            name=op.f("ck_authorities_retired_reason_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorities")),
    )
    op.execute(
        f"INSERT INTO authorities ({_COLUMNS}, retired_reason) "  # noqa: S608 - constants of this file
        f"SELECT {_COLUMNS}, CASE WHEN retired_at IS NULL THEN NULL ELSE 'superseded' END FROM authorities_before"
    )
    op.drop_table("authorities_before")
