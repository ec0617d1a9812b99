"""Own authority certificates, and the CRLs and OCSP answers that the status listener serves.

Not here: making CRLs and OCSP answers (`pki`, `authority.status.ocsp_responses`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, NotFound
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.authority_protocols import CertificateLine
from doorward.stores.crl_pieces import CrlPiece, split_crl
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord, OcspRecord

_COLUMNS = AuthorityRecord.__slots__
_ALL = f"SELECT {', '.join(_COLUMNS)} FROM authorities WHERE tenant = :this_tenant"  # noqa: S608 - names of the record
_LIST = DriverStatement(f"{_ALL} ORDER BY created_at DESC, id DESC")
_GET = DriverStatement(f"{_ALL} AND id = :id")
_CURRENT = DriverStatement(f"{_ALL} AND kind = :kind AND current")
_RESPONDER = DriverStatement(f"{_ALL} AND kind = :kind AND current AND issuer_id = :issuer")
_NOT_CURRENT = "UPDATE authorities SET current = false WHERE tenant = :this_tenant AND kind = :of"
_REPLACE = DriverStatement(_NOT_CURRENT)
_REPLACE_RESPONDER = DriverStatement(f"{_NOT_CURRENT} AND issuer_id = :issuer")
_MAKE_CURRENT = DriverStatement(
    "UPDATE authorities SET current = true WHERE tenant = :this_tenant AND id = :one"
)
_RETIRE = DriverStatement(
    """UPDATE authorities SET retired_at = :at, retired_reason = :why
    WHERE tenant = :this_tenant AND id = :one"""
)
_ADD = DriverStatement(
    f"""INSERT INTO authorities ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f":{name}" for name in _COLUMNS)})"""  # noqa: S608 - names of the record
)
_LINE = CertificateLine.__slots__
_UNENDED = DriverStatement(
    # The tenant is in an expression, so that the planner does not choose an index that begins with it: a page is read by id.
    f"""SELECT {", ".join(_LINE)} FROM certificates
    WHERE tenant || '' = :this_tenant AND id > :after_id AND not_after > :now AND state <> 'intended'
    ORDER BY id LIMIT :limit"""  # noqa: S608 - names of the record
)

_CRL_COLUMNS = "authority_id, partition, tenant, number, this_update, next_update, through_seq"
_OF_CRL = "tenant = :this_tenant AND authority_id = :authority_id AND partition = :partition"
_CRL = DriverStatement(f"SELECT {_CRL_COLUMNS}, sha256 FROM crl_heads WHERE {_OF_CRL}")  # noqa: S608 - constants of this file
_CRL_NUMBER = DriverStatement(f"SELECT number FROM crl_heads WHERE {_OF_CRL}")  # noqa: S608 - as above
_CRL_HEADS = DriverStatement(
    f"""SELECT {_CRL_COLUMNS} FROM crl_heads WHERE tenant = :this_tenant AND authority_id = :authority_id
    ORDER BY partition"""  # noqa: S608 - as above
)
_ADD_CRL = DriverStatement(
    f"""INSERT INTO crl_heads ({_CRL_COLUMNS}, sha256)
    VALUES (:authority_id, :partition, :this_tenant, :number, :this_update, :next_update, :through_seq, :sha256)
    ON CONFLICT DO NOTHING"""  # noqa: S608 - as above
)
_REPLACE_CRL = DriverStatement(
    f"""UPDATE crl_heads SET number = :number, sha256 = :sha256, this_update = :this_update, next_update = :next_update,
        through_seq = :through_seq
    WHERE {_OF_CRL} AND number < :number"""  # noqa: S608 - as above
)
_PIECES = DriverStatement(
    "SELECT content FROM crl_pieces WHERE tenant = :this_tenant AND sha256 = :sha256 ORDER BY number"
)
_NEXT_PIECE = DriverStatement(
    """SELECT number, content FROM crl_pieces WHERE tenant = :this_tenant AND sha256 = :sha256 AND number > :after
    ORDER BY number LIMIT 1"""
)
_COUNT_PIECES = DriverStatement(
    "SELECT count(*) FROM crl_pieces WHERE tenant = :this_tenant AND sha256 = :sha256"
)
_ADD_PIECE = DriverStatement(
    """INSERT INTO crl_pieces (tenant, sha256, number, content) VALUES (:tenant, :sha256, :number, :content)
    ON CONFLICT DO NOTHING"""
)
_FORGET_FIRST_PIECE = DriverStatement(
    "DELETE FROM crl_pieces WHERE tenant = :this_tenant AND sha256 = :sha256 AND number = 0"
)
_FORGET_PIECES = DriverStatement(
    """DELETE FROM crl_pieces WHERE tenant = :this_tenant AND (sha256, number) IN (
        SELECT sha256, number FROM crl_pieces
        WHERE tenant = :this_tenant AND sha256 NOT IN (SELECT sha256 FROM crl_heads WHERE tenant = :this_tenant)
        ORDER BY sha256, number LIMIT :most)"""
)

_OCSP = DriverStatement(
    """SELECT der, next_update FROM ocsp_answers
    WHERE tenant = :this_tenant AND certificate_id = :certificate_id AND hash_name = :hash_name"""
)
_STORE_OCSP = DriverStatement(
    """INSERT INTO ocsp_answers (certificate_id, hash_name, tenant, der, next_update)
    VALUES (:certificate_id, :hash_name, :tenant, :der, :next_update)
    ON CONFLICT (certificate_id, hash_name) DO UPDATE
    SET tenant = excluded.tenant, der = excluded.der, next_update = excluded.next_update"""
)
_FORGET_OCSP = DriverStatement(
    "DELETE FROM ocsp_answers WHERE tenant = :this_tenant AND certificate_id = :of"
)
_DUE_OCSP = DriverStatement(
    # All answers of one certificate have the same end.
    """SELECT DISTINCT next_update, certificate_id FROM ocsp_answers
    WHERE tenant = :this_tenant AND next_update <= :by
    ORDER BY next_update, certificate_id LIMIT :limit"""
)
_AWAITED = ""
"""The `hash_name` of a row for answers that are not signed yet; no hash algorithm has this name."""


class SqlAuthorities:
    """`stores.authority_protocols.AuthorityStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, authority: AuthorityRecord) -> None:
        """Add an authority; if it is current, it takes the place of the current one."""
        self._transaction.require_writable(authority.tenant)
        if authority.current:
            self._replace_current(authority)
        self._transaction.driver_change(
            _ADD,
            id=authority.id,
            tenant=authority.tenant,
            kind=authority.kind.value,
            der=authority.der,
            key_name=authority.key_name,
            created_at=to_microseconds(authority.created_at),
            not_after=to_microseconds(authority.not_after),
            current=authority.current,
            issuer_id=authority.issuer_id,
            retired_at=to_optional_microseconds(authority.retired_at),
            retired_reason=None if authority.retired_reason is None else authority.retired_reason.value,
        )

    def get(self, authority_id: str) -> AuthorityRecord | None:
        """Return the authority."""
        return _authority(self._transaction.driver_row(_GET, id=authority_id))

    def current(self, kind: AuthorityKind) -> AuthorityRecord | None:
        """Return the current one of that kind; of responders, that of the current issuing authority."""
        if kind is not AuthorityKind.OCSP_RESPONDER:
            return _authority(self._transaction.driver_row(_CURRENT, kind=kind.value))
        issuing = self.current(AuthorityKind.ISSUING)
        return self.responder(issuing.id) if issuing is not None else None

    def responder(self, issuing_id: str) -> AuthorityRecord | None:
        """Return the current responder of an issuing authority."""
        kind = AuthorityKind.OCSP_RESPONDER.value
        return _authority(self._transaction.driver_row(_RESPONDER, kind=kind, issuer=issuing_id))

    def make_current(self, authority_id: str) -> None:
        """Make one the current one of its kind."""
        self._transaction.require_writable()
        self._replace_current(_required(self.get(authority_id), authority_id))
        self._transaction.driver_change(_MAKE_CURRENT, one=authority_id)

    def retire(self, authority_id: str, at: datetime, reason: RevocationReason) -> None:
        """Note that it is trusted no more."""
        if not self._transaction.driver_change(
            _RETIRE, one=authority_id, at=to_microseconds(at), why=reason.value
        ):
            _required(None, authority_id)

    def list(self) -> list[AuthorityRecord]:
        """Return all authorities, newest first."""
        rows = self._transaction.driver_rows(_LIST)
        return [found for row in rows if (found := _authority(row)) is not None]

    def unended(self, now: datetime, after_id: str, limit: int) -> Sequence[CertificateLine]:
        """Return one page of certificates that have not ended."""
        rows = self._transaction.driver_rows(
            _UNENDED, now=to_microseconds(now), after_id=after_id, limit=limit
        )
        return [_line(row) for row in rows]

    def _replace_current(self, authority: AuthorityRecord) -> None:
        kind = authority.kind.value
        if authority.kind is AuthorityKind.OCSP_RESPONDER:
            self._transaction.driver_change(_REPLACE_RESPONDER, of=kind, issuer=authority.issuer_id)
        else:
            self._transaction.driver_change(_REPLACE, of=kind)


class SqlStatus:
    """`stores.certificate_protocols.StatusStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def crl(self, authority_id: str, partition: str = "") -> CrlRecord | None:
        """Return the newest CRL of that authority and partition."""
        row = self._transaction.driver_row(_CRL, authority_id=authority_id, partition=partition)
        if row is None:
            return None
        pieces = self._transaction.driver_rows(_PIECES, sha256=row[-1])
        der = b"".join(bytes(content) for (content,) in pieces)
        if hashlib.sha256(der).hexdigest() != row[-1]:
            raise _damaged(row)
        return _crl(row[:-1], der)

    def check_crl(self, authority_id: str, partition: str = "") -> None:
        """Check the digest of a CRL; one piece is in memory at a time."""
        row = self._transaction.driver_row(_CRL, authority_id=authority_id, partition=partition)
        if row is None:
            return
        digest, after = hashlib.sha256(), -1
        while piece := self._transaction.driver_row(_NEXT_PIECE, sha256=row[-1], after=after):
            after, content = piece
            digest.update(content)
        if digest.hexdigest() != row[-1]:
            raise _damaged(row)

    def crl_heads(self, authority_id: str) -> list[CrlRecord]:
        """Return the newest CRL of every partition, without its bytes."""
        rows = self._transaction.driver_rows(_CRL_HEADS, authority_id=authority_id)
        return [_crl(row, b"") for row in rows]

    def crl_number(self, authority_id: str, partition: str = "") -> int | None:
        """Return the number of that CRL."""
        number = self._transaction.driver_value(_CRL_NUMBER, authority_id=authority_id, partition=partition)
        return None if number is None else int(number)

    def store_crl(self, crl: CrlRecord) -> None:
        """Replace the CRL if its number grows: one statement compares and sets."""
        self._transaction.require_writable(crl.tenant)
        pieces = split_crl(crl.der)
        former = self._transaction.driver_row(_CRL, authority_id=crl.authority_id, partition=crl.partition)
        self._set_head(crl, pieces[0].sha256)
        if self._transaction.driver_value(_COUNT_PIECES, sha256=pieces[0].sha256) < len(pieces):
            self.add_crl_pieces(pieces)
        if former is not None:  # a short one is gone with it, and needs no further transaction
            self._transaction.driver_change(_FORGET_FIRST_PIECE, sha256=former[-1])

    def add_crl_pieces(self, pieces: Sequence[CrlPiece]) -> None:
        """Add pieces of a CRL that is stored later; those that are there already are left."""
        tenant = self._transaction.tenant
        self._transaction.driver_write(_ADD_PIECE, [one._asdict() | {"tenant": tenant} for one in pieces])

    def forget_crl_pieces(self, most: int) -> int:
        """Remove pieces that belong to no stored CRL, at most so many; return how many."""
        return self._transaction.driver_change(_FORGET_PIECES, most=most)

    def _set_head(self, crl: CrlRecord, sha256: str) -> None:
        values = {
            "authority_id": crl.authority_id,
            "partition": crl.partition,
            "number": crl.number,
            "sha256": sha256,
            "this_update": to_microseconds(crl.this_update),
            "next_update": to_microseconds(crl.next_update),
            "through_seq": crl.through_seq,
        }
        if self._transaction.driver_change(_REPLACE_CRL, **values):
            return
        if not self._transaction.driver_change(_ADD_CRL, **values):
            raise IntegrityError(
                "crl-number",
                f"the new CRL has the number {crl.number}, but the number must be larger than that of the stored CRL",
            )

    def ocsp(self, certificate_id: str, hash_name: str) -> OcspRecord | None:
        """Return the pre-signed response."""
        row = self._transaction.driver_row(_OCSP, certificate_id=certificate_id, hash_name=hash_name)
        if row is None:
            return None
        der, next_update = row
        return OcspRecord(
            certificate_id=certificate_id,
            hash_name=hash_name,
            der=der,
            next_update=from_microseconds(next_update),
        )

    def store_ocsp(self, *responses: OcspRecord) -> None:
        """Insert or replace pre-signed responses."""
        self._transaction.driver_write(
            _STORE_OCSP,
            [
                {
                    "certificate_id": response.certificate_id,
                    "hash_name": response.hash_name,
                    "tenant": self._transaction.tenant,
                    "der": response.der,
                    "next_update": to_microseconds(response.next_update),
                }
                for response in responses
            ],
        )

    def forget_ocsp(self, certificate_id: str) -> None:
        """Delete the pre-signed responses of one certificate."""
        self._transaction.driver_change(_FORGET_OCSP, of=certificate_id)

    def await_ocsp(self, certificate_id: str, since: datetime) -> None:
        """Replace the answers by a row that has ended, so that the index of due answers contains it."""
        self.forget_ocsp(certificate_id)
        self.store_ocsp(
            OcspRecord(certificate_id=certificate_id, hash_name=_AWAITED, der=b"", next_update=since)
        )

    def due_ocsp(self, by: datetime, limit: int) -> list[str]:
        """Return the certificates with answers that end by then; only the index is read."""
        rows = self._transaction.driver_rows(_DUE_OCSP, by=to_microseconds(by), limit=limit)
        return list(dict.fromkeys(certificate_id for _, certificate_id in rows))


def _line(row: DriverRow) -> CertificateLine:
    values = dict(zip(_LINE, row, strict=True))
    values["state"] = from_word(CertificateState, values["state"])
    values["not_after"] = from_microseconds(values["not_after"])
    return CertificateLine(**values)


def _damaged(row: DriverRow) -> IntegrityError:
    return IntegrityError(
        "crl-damaged",
        f"the stored CRL {row[3]} of {row[0]} is not the one that was signed",
        # With deltas, a hold makes only the delta again.
        hint="restore the last backup; or, with `crl_deltas` off, hold a certificate and release it, "
        "and `serve` makes the next CRL",
    )


def _crl(row: DriverRow, der: bytes) -> CrlRecord:
    authority_id, partition, tenant, number, this_update, next_update, through_seq = row
    return CrlRecord(
        authority_id=authority_id,
        partition=partition,
        tenant=tenant,
        number=number,
        der=der,
        this_update=from_microseconds(this_update),
        next_update=from_microseconds(next_update),
        through_seq=through_seq,
    )


def _authority(row: DriverRow | None) -> AuthorityRecord | None:
    if row is None:
        return None
    values = dict(zip(_COLUMNS, row, strict=True))
    values["kind"] = from_word(AuthorityKind, values["kind"])
    values["current"] = bool(values["current"])  # a number on SQLite
    values["created_at"] = from_microseconds(values["created_at"])
    values["not_after"] = from_microseconds(values["not_after"])
    values["retired_at"] = from_optional_microseconds(values["retired_at"])
    if values["retired_reason"] is not None:
        values["retired_reason"] = from_word(RevocationReason, values["retired_reason"])
    return AuthorityRecord(**values)


def _required(authority: AuthorityRecord | None, authority_id: str) -> AuthorityRecord:
    if authority is None:
        raise NotFound("authority-unknown", f"there is no authority certificate {authority_id[:64]} here")
    return authority
