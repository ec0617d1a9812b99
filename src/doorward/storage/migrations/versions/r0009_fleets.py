"""Manufacturers, enrolments of their devices, tags, known serial numbers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables of device fleets."""
    _add_manufacturers()
    _add_enrolments()
    op.create_table(
        "enrolment_tags",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("approval", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("name_template", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "approval IN ('operator', 'expected', 'first', 'automatic')",
            name=op.f("ck_enrolment_tags_approval_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_tags")),
        sa.UniqueConstraint("tenant", "name", name=op.f("uq_enrolment_tags_tenant_name")),
    )
    op.create_table(
        "factory_serials",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("manufacturer_id", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "standing IN ('expected', 'barred')", name=op.f("ck_factory_serials_standing_known")
        ),
        sa.PrimaryKeyConstraint("tenant", "manufacturer_id", "serial", name=op.f("pk_factory_serials")),
    )


def _add_manufacturers() -> None:
    op.create_table(
        "manufacturers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("most_pending", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manufacturers")),
    )
    op.create_index(
        "uq_manufacturers_name_in_use",
        "manufacturers",
        ["tenant", "name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "manufacturer_authorities",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("manufacturer_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("anchor", sa.Boolean(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manufacturer_authorities")),
        sa.UniqueConstraint(
            "manufacturer_id", "sha256", name=op.f("uq_manufacturer_authorities_manufacturer_id_sha256")
        ),
    )


def _add_enrolments() -> None:
    op.create_table(
        "device_enrolments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("manufacturer_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("wanted_key", sa.Text(), nullable=False),
        sa.Column("issued_key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("contacts", sa.BigInteger(), nullable=False),
        sa.Column("keys", sa.BigInteger(), nullable=False),
        sa.Column("sources", sa.BigInteger(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("factory_der", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'enrolled', 'duplicate', 'refused')",
            name=op.f("ck_device_enrolments_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_enrolments")),
        sa.UniqueConstraint("tenant", "fingerprint", name=op.f("uq_device_enrolments_tenant_fingerprint")),
    )
    op.create_index(
        "ix_device_enrolments_serial", "device_enrolments", ["tenant", "manufacturer_id", "serial"]
    )
    op.create_index(
        "ix_device_enrolments_manufacturer", "device_enrolments", ["tenant", "manufacturer_id", "state"]
    )
    op.create_index("ix_device_enrolments_state", "device_enrolments", ["tenant", "state", "id"])
