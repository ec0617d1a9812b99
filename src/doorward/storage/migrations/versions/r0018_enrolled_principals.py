"""An index of the enrolments of a device: a link for a device ends its approvals."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0019"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_device_enrolments_principal", "device_enrolments", ["tenant", "principal_id"])
