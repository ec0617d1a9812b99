"""Long CRLs of partners in pieces: `evidence` names such a CRL by its digest, and `evidence_pieces` has its bytes."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_PIECE_BYTES = 256 * 1024
_KEY = "partner_id = :partner_id AND kind = :kind AND source = :source AND about = :about"


def upgrade() -> None:
    """Make the table and the index, and move the long CRLs."""
    op.create_table(
        "evidence_pieces",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", "number", name=op.f("pk_evidence_pieces")),
    )
    op.create_index("ix_evidence_sha256", "evidence", ["tenant", "sha256"])
    bind = op.get_bind()
    long = sa.text("SELECT partner_id, kind, source, about FROM evidence WHERE length(der) > :most")
    for key in bind.execute(long, {"most": _PIECE_BYTES}).mappings().all():
        _move(bind, dict(key))


def _move(bind: sa.Connection, key: dict[str, str]) -> None:
    row = sa.text(f"SELECT tenant, sha256, der FROM evidence WHERE {_KEY}")  # noqa: S608  a constant of this file
    tenant, digest, der = bind.execute(row, key).one()
    if hashlib.sha256(der).hexdigest() != digest:  # it stays as it is
        return
    piece = sa.text(
        """INSERT INTO evidence_pieces (tenant, sha256, number, content) VALUES (:t, :digest, :n, :part)
        ON CONFLICT DO NOTHING"""
    )
    for number, start in enumerate(range(0, len(der), _PIECE_BYTES)):
        part = der[start : start + _PIECE_BYTES]
        bind.execute(piece, {"t": tenant, "digest": digest, "n": number, "part": part})
    empty = sa.text(f"UPDATE evidence SET der = :nothing WHERE {_KEY}")  # noqa: S608  as above
    bind.execute(empty, {**key, "nothing": b""})
