"""Changes of the status of certificates, and the CRLs that deltas extend.

What was revoked, held or released since the newest CRLs were made is noted, so that the next ones are made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_FILL = """
    INSERT INTO status_changes (tenant, authority_id, seq, serial)
    SELECT c.tenant, c.authority_id, n.seq, c.serial
    FROM crl_heads f
    JOIN authorities a ON a.id = f.authority_id AND a.kind = 'issuing' AND a.retired_at IS NULL
    JOIN changes n ON n.tenant = f.tenant AND n.seq > f.through_seq AND n.kind = 'certificate'
    JOIN certificates c ON c.id = n.subject AND c.authority_id = f.authority_id
    WHERE f.partition = '' AND (c.state IN ('revoked', 'on-hold') OR c.created_at <= f.this_update)
"""


def upgrade() -> None:
    """Make the tables, and fill the first one."""
    op.create_table(
        "status_changes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("authority_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "authority_id", "seq", name=op.f("pk_status_changes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crl_bases",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("authority_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.Column("next_update", sa.BigInteger(), nullable=False),
        sa.Column("through_seq", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "authority_id", "partition", "number", name=op.f("pk_crl_bases")),
    )
    op.execute(_FILL)
