"""CRLs in pieces: `crl_heads` names a CRL by its digest, and `crl_pieces` has its bytes."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_PIECE_BYTES = 256 * 1024
_HEAD = "authority_id, partition, tenant, number, this_update, next_update, through_seq"


def upgrade() -> None:
    """Make the tables, and move the CRLs."""
    op.create_table(
        "crl_heads",
        sa.Column("authority_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.Column("next_update", sa.BigInteger(), nullable=False),
        sa.Column("through_seq", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("authority_id", "partition", name=op.f("pk_crl_heads")),
    )
    op.create_table(
        "crl_pieces",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", "number", name=op.f("pk_crl_pieces")),
    )
    bind = op.get_bind()
    for authority_id, partition in bind.execute(sa.text("SELECT authority_id, partition FROM crls")).all():
        _move(bind, {"authority": authority_id, "name": partition})
    op.drop_table("crls")


def _move(bind: sa.Connection, which: dict[str, str]) -> None:
    of_it = "FROM crls WHERE authority_id = :authority AND partition = :name"
    tenant, der = bind.execute(sa.text(f"SELECT tenant, der {of_it}"), which).one()
    digest = hashlib.sha256(der).hexdigest()
    bind.execute(
        sa.text(f"INSERT INTO crl_heads ({_HEAD}, sha256) SELECT {_HEAD}, :digest {of_it}"),
        which | {"digest": digest},
    )
    piece = sa.text(
        "INSERT INTO crl_pieces (tenant, sha256, number, content) VALUES (:t, :digest, :n, :part)"
    )
    for number, start in enumerate(range(0, max(len(der), 1), _PIECE_BYTES)):
        part = der[start : start + _PIECE_BYTES]
        bind.execute(piece, {"t": tenant, "digest": digest, "n": number, "part": part})
