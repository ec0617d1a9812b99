"""Own authority certificates, and the CRLs and OCSP answers that the status listener serves.

Not here: making CRLs and OCSP answers (`pki`, `authority.status.responder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Integer, bindparam, delete, false, insert, select, true, update

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, NotFound
from doorward.storage.core_statements import CURRENT_TENANT, AnyRow, insert_new, insert_or_replace
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.schema import authorities, certificates, crls, ocsp_answers
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
)
from doorward.stores.authority_protocols import CertificateLine
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord, OcspRecord

_COLUMNS = AuthorityRecord.__slots__
_ALL = select(*(authorities.c[name] for name in _COLUMNS)).where(authorities.c.tenant == CURRENT_TENANT)
_LIST = DriverStatement(_ALL.order_by(authorities.c.created_at.desc(), authorities.c.id.desc()))
_GET = DriverStatement(_ALL.where(authorities.c.id == bindparam("id")))
_OF_KIND = _ALL.where(authorities.c.kind == bindparam("kind"), authorities.c.current)
_CURRENT = DriverStatement(_OF_KIND)
_RESPONDER = DriverStatement(_OF_KIND.where(authorities.c.issuer_id == bindparam("issuer")))
_REPLACE = (
    update(authorities)
    .where(authorities.c.tenant == CURRENT_TENANT, authorities.c.kind == bindparam("of"))
    .values(current=false())
)
_REPLACE_RESPONDER = _REPLACE.where(authorities.c.issuer_id == bindparam("issuer"))
_ONE = update(authorities).where(authorities.c.tenant == CURRENT_TENANT, authorities.c.id == bindparam("one"))
_MAKE_CURRENT = _ONE.values(current=true())
_RETIRE = _ONE.values(
    retired_at=bindparam("at", type_=authorities.c.retired_at.type),
    retired_reason=bindparam("why", type_=authorities.c.retired_reason.type),
)
_ADD = insert(authorities)
_LINE = [certificates.c[name] for name in CertificateLine.__slots__]
_UNENDED = (
    select(*_LINE)
    .where(
        # In an expression, so that the planner does not choose an index that begins with the tenant: a page is read by id.
        certificates.c.tenant.concat("") == CURRENT_TENANT,
        certificates.c.id > bindparam("after_id"),
        certificates.c.not_after > bindparam("now"),
        certificates.c.state != CertificateState.INTENDED,
    )
    .order_by(certificates.c.id)
    .limit(bindparam("limit", type_=Integer))
)

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

_OCSP = DriverStatement(
    select(ocsp_answers.c.der, ocsp_answers.c.next_update).where(
        ocsp_answers.c.tenant == CURRENT_TENANT,
        ocsp_answers.c.certificate_id == bindparam("certificate_id"),
        ocsp_answers.c.hash_name == bindparam("hash_name"),
    )
)
_STORE_OCSP = DriverStatement(insert_or_replace(ocsp_answers, ["certificate_id", "hash_name"]))
_FORGET_OCSP = DriverStatement(
    delete(ocsp_answers).where(
        ocsp_answers.c.tenant == CURRENT_TENANT, ocsp_answers.c.certificate_id == bindparam("of")
    )
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
    """`stores.authority_protocols.AuthorityStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, authority: AuthorityRecord) -> None:
        """Add an authority; if it is current, it takes the place of the current one."""
        self._transaction.require_writable(authority.tenant)
        if authority.current:
            self._replace_current(authority)
        self._transaction.add(
            _ADD,
            id=authority.id,
            kind=authority.kind,
            der=authority.der,
            key_name=authority.key_name,
            created_at=authority.created_at,
            not_after=authority.not_after,
            current=authority.current,
            issuer_id=authority.issuer_id,
            retired_at=authority.retired_at,
            retired_reason=authority.retired_reason,
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
        self._transaction.write(_MAKE_CURRENT, one=authority_id)

    def retire(self, authority_id: str, at: datetime, reason: RevocationReason) -> None:
        """Note that it is trusted no more."""
        if not self._transaction.write(_RETIRE, one=authority_id, at=at, why=reason):
            _required(None, authority_id)

    def list(self) -> list[AuthorityRecord]:
        """Return all authorities, newest first."""
        rows = self._transaction.driver_rows(_LIST)
        return [found for row in rows if (found := _authority(row)) is not None]

    def unended(self, now: datetime, after_id: str, limit: int) -> Sequence[CertificateLine]:
        """Return one page of certificates that have not ended."""
        rows = self._transaction.rows(_UNENDED, now=now, after_id=after_id, limit=limit)
        return [CertificateLine(**row._mapping) for row in rows]  # noqa: SLF001  its public name

    def _replace_current(self, authority: AuthorityRecord) -> None:
        if authority.kind is AuthorityKind.OCSP_RESPONDER:
            self._transaction.write(_REPLACE_RESPONDER, of=authority.kind, issuer=authority.issuer_id)
        else:
            self._transaction.write(_REPLACE, of=authority.kind)


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
