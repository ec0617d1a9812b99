"""Own authority certificates, and the CRLs and OCSP answers that the status listener serves.

Not here: making CRLs and OCSP answers (`pki`, `authority.status.responder`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, bindparam, delete, false, insert, select, update

from doorward.core.errors import IntegrityError
from doorward.storage.core_statements import CURRENT_TENANT, AnyRow, insert_new, insert_or_replace
from doorward.storage.schema import authorities, crls, ocsp_answers
from doorward.storage.transaction import Transaction
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord, OcspRecord

_ALL = select(authorities).where(authorities.c.tenant == CURRENT_TENANT)
_LIST = _ALL.order_by(authorities.c.created_at.desc(), authorities.c.id.desc())
_GET = _ALL.where(authorities.c.id == bindparam("id"))
_CURRENT = _ALL.where(authorities.c.kind == bindparam("kind"), authorities.c.current)
_RETIRE = (
    update(authorities)
    .where(authorities.c.tenant == CURRENT_TENANT, authorities.c.kind == bindparam("of"))
    .values(current=false())
)
_ADD = insert(authorities)

_ONE_CRL = (
    crls.c.tenant == CURRENT_TENANT,
    crls.c.authority_id == bindparam("authority_id"),
    crls.c.partition == bindparam("partition"),
)
_CRL = select(crls).where(*_ONE_CRL)
_CRL_NUMBER = select(crls.c.number).where(*_ONE_CRL)
_CRL_HEADS = (
    select(*(column for column in crls.c if column is not crls.c.der))
    .where(crls.c.tenant == CURRENT_TENANT, crls.c.authority_id == bindparam("authority_id"))
    .order_by(crls.c.partition)
)
_ADD_CRL = insert_new(crls)
_REPLACE_CRL = (
    update(crls)
    .where(
        crls.c.tenant == CURRENT_TENANT,
        crls.c.authority_id == bindparam("of"),
        crls.c.partition == bindparam("the"),
        crls.c.number < bindparam("number"),
    )
    .values(
        {name: bindparam(name) for name in ("number", "der", "this_update", "next_update", "through_seq")}
    )
)

_OCSP = select(ocsp_answers).where(
    ocsp_answers.c.tenant == CURRENT_TENANT,
    ocsp_answers.c.certificate_id == bindparam("certificate_id"),
    ocsp_answers.c.hash_name == bindparam("hash_name"),
)
_STORE_OCSP = insert_or_replace(ocsp_answers, ["certificate_id", "hash_name"])
_FORGET_OCSP = delete(ocsp_answers).where(
    ocsp_answers.c.tenant == CURRENT_TENANT, ocsp_answers.c.certificate_id == bindparam("of")
)
_DUE_IN_ORDER = (ocsp_answers.c.next_update, ocsp_answers.c.certificate_id)
_DUE_OCSP = (
    select(*_DUE_IN_ORDER)
    .where(ocsp_answers.c.tenant == CURRENT_TENANT, ocsp_answers.c.next_update <= bindparam("by"))
    .distinct()  # all answers of one certificate have the same end
    .order_by(*_DUE_IN_ORDER)
    .limit(bindparam("limit", type_=Integer))
)
_AWAITED = ""
"""The `hash_name` of a row for answers that are not signed yet; no hash algorithm has this name."""


class SqlAuthorities:
    """`stores.protocols.AuthorityStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, authority: AuthorityRecord) -> None:
        """Add an authority and make it the current one of its kind."""
        self._transaction.require_writable(authority.tenant)
        self._transaction.write(_RETIRE, of=authority.kind)
        self._transaction.add(
            _ADD,
            id=authority.id,
            kind=authority.kind,
            der=authority.der,
            key_name=authority.key_name,
            created_at=authority.created_at,
            not_after=authority.not_after,
            current=True,
        )

    def get(self, authority_id: str) -> AuthorityRecord | None:
        """Return the authority."""
        return _authority(self._transaction.row(_GET, id=authority_id))

    def current(self, kind: AuthorityKind) -> AuthorityRecord | None:
        """Return the current one of that kind."""
        return _authority(self._transaction.row(_CURRENT, kind=kind))

    def list(self) -> list[AuthorityRecord]:
        """Return all authorities, newest first."""
        return [found for row in self._transaction.rows(_LIST) if (found := _authority(row)) is not None]


class SqlStatus:
    """`stores.protocols.StatusStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def crl(self, authority_id: str, partition: str = "") -> CrlRecord | None:
        """Return the newest CRL of that authority and partition."""
        row = self._transaction.row(_CRL, authority_id=authority_id, partition=partition)
        return None if row is None else _crl(row, row.der)

    def crl_heads(self, authority_id: str) -> list[CrlRecord]:
        """Return the newest CRL of every partition, without its bytes."""
        return [_crl(row, b"") for row in self._transaction.rows(_CRL_HEADS, authority_id=authority_id)]

    def crl_number(self, authority_id: str, partition: str = "") -> int | None:
        """Return the number of that CRL."""
        row = self._transaction.row(_CRL_NUMBER, authority_id=authority_id, partition=partition)
        return None if row is None else int(row.number)

    def store_crl(self, crl: CrlRecord) -> None:
        """Replace the CRL if its number grows: one statement compares and sets."""
        self._transaction.require_writable(crl.tenant)
        values = {
            "number": crl.number,
            "der": crl.der,
            "this_update": crl.this_update,
            "next_update": crl.next_update,
            "through_seq": crl.through_seq,
        }
        if self._transaction.write(_REPLACE_CRL, of=crl.authority_id, the=crl.partition, **values):
            return
        which = {"authority_id": crl.authority_id, "partition": crl.partition}
        if not self._transaction.add(_ADD_CRL, **which, **values):
            raise IntegrityError(
                "crl-number",
                f"the new CRL has the number {crl.number}, but the number must be larger than that of the stored CRL",
            )

    def ocsp(self, certificate_id: str, hash_name: str) -> OcspRecord | None:
        """Return the pre-signed response."""
        row = self._transaction.row(_OCSP, certificate_id=certificate_id, hash_name=hash_name)
        if row is None:
            return None
        return OcspRecord(
            certificate_id=row.certificate_id,
            hash_name=row.hash_name,
            der=row.der,
            next_update=row.next_update,
        )

    def store_ocsp(self, response: OcspRecord) -> None:
        """Insert or replace the pre-signed response."""
        self._transaction.add(
            _STORE_OCSP,
            certificate_id=response.certificate_id,
            hash_name=response.hash_name,
            der=response.der,
            next_update=response.next_update,
        )

    def forget_ocsp(self, certificate_id: str) -> None:
        """Delete the pre-signed responses of one certificate."""
        self._transaction.write(_FORGET_OCSP, of=certificate_id)

    def await_ocsp(self, certificate_id: str, since: datetime) -> None:
        """Replace the answers by a row that has ended, so that the index of due answers contains it."""
        self.forget_ocsp(certificate_id)
        self.store_ocsp(
            OcspRecord(certificate_id=certificate_id, hash_name=_AWAITED, der=b"", next_update=since)
        )

    def due_ocsp(self, by: datetime, limit: int) -> list[str]:
        """Return the certificates with answers that end by then; only the index is read."""
        rows = self._transaction.rows(_DUE_OCSP, by=by, limit=limit)
        return list(dict.fromkeys(row.certificate_id for row in rows))


def _crl(row: AnyRow, der: bytes) -> CrlRecord:
    return CrlRecord(
        authority_id=row.authority_id,
        partition=row.partition,
        tenant=row.tenant,
        number=row.number,
        der=der,
        this_update=row.this_update,
        next_update=row.next_update,
        through_seq=row.through_seq,
    )


def _authority(row: AnyRow | None) -> AuthorityRecord | None:
    if row is None:
        return None
    return AuthorityRecord(
        id=row.id,
        tenant=row.tenant,
        kind=row.kind,
        der=row.der,
        key_name=row.key_name,
        created_at=row.created_at,
        not_after=row.not_after,
        current=row.current,
    )
