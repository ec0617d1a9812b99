"""The inventory of certificates.

Not here: which transitions are allowed (`pki.lifecycle`).
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, NotFound
from doorward.storage.driver_statement import DriverRow, DriverStatement, ListStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_reason,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.records import CertificateFilter, CertificateRecord, RevokedRow

_STATES = {state.value: state for state in CertificateState}

_COLUMNS = """id, tenant, authority_id, serial, sha256, profile, state, not_before, not_after, created_at, principal_id,
    subject_name, reason, revoked_at, replaces, spki_sha256, der"""
_ALL = f"SELECT {_COLUMNS} FROM certificates WHERE tenant = :this_tenant"  # noqa: S608 - constants of this file
_GET = DriverStatement(f"{_ALL} AND id = :id")
_BY_SHA256 = DriverStatement(f"{_ALL} AND sha256 = :sha256")
_BY_SERIAL = DriverStatement(f"{_ALL} AND serial = :serial AND authority_id = :authority_id")


def _find_in(column: str) -> DriverStatement:
    """Return the look-up of a prefix as a range, so that the index of the column serves it.

    LIKE would need escapes and a scan; an OR over three columns scans too. The tenant is in an expression, so that
    the planner does not choose an index that begins with the tenant.
    """
    return DriverStatement(
        f"""SELECT {_COLUMNS} FROM certificates
        WHERE tenant || '' = :this_tenant AND {column} >= :start AND {column} < :end
        ORDER BY {column} LIMIT 2"""  # noqa: S608 - constants of this file
    )


_FIND_ID, _FIND_SHA256, _FIND_SERIAL = map(_find_in, ("id", "sha256", "serial"))
_CREATED_AT = DriverStatement("SELECT created_at FROM certificates WHERE tenant = :this_tenant AND id = :id")
_ADD = DriverStatement(
    f"""INSERT INTO certificates ({_COLUMNS})
    VALUES (:id, :tenant, :authority_id, :serial, :sha256, :profile, :state, :not_before, :not_after, :created_at,
        :principal_id, :subject_name, :reason, :revoked_at, :replaces, :spki_sha256, :der)
    ON CONFLICT DO NOTHING"""  # noqa: S608 - constants of this file
)
_COMPLETE = DriverStatement(
    """UPDATE certificates SET state = 'valid', sha256 = :sha256, der = :der
    WHERE tenant = :tenant AND id = :of AND state = 'intended'"""
)
_ASSIGN = DriverStatement(
    """UPDATE certificates SET principal_id = :principal_id, authority_id = :authority_id
    WHERE tenant = :this_tenant AND id = :of"""
)
_SET_STATE = DriverStatement(
    """UPDATE certificates SET state = :state, reason = :reason, revoked_at = :revoked_at
    WHERE tenant = :this_tenant AND id = :of"""
)
_REVOKED = DriverStatement(
    # The states are written as in the condition of the index.
    """SELECT serial, not_after / 1000000, revoked_at / 1000000, reason FROM certificates
    WHERE tenant = :this_tenant AND authority_id = :authority_id AND state IN ('revoked', 'on-hold')
        AND not_after > :not_after
    ORDER BY serial""",
    large=True,
)
# Not sorted: SQLite would read every certificate in the order of creation instead of these few by their index.
_SUCCESSORS = DriverStatement(f"{_ALL} AND replaces = :replaced AND replaces <> ''")
_HAS_KEY = DriverStatement(
    """SELECT id FROM certificates
    WHERE tenant = :this_tenant AND spki_sha256 = :key AND state <> 'intended' LIMIT 1"""
)
_REVOKED_KEYS = ListStatement(
    # The state is in an expression, so that the planner does not choose the index of states.
    """SELECT DISTINCT spki_sha256 FROM certificates
    WHERE tenant = :this_tenant AND spki_sha256 IN ({listed}) AND state || '' = 'revoked'"""
)
_RENEWED_SINCE = DriverStatement(
    """SELECT created_at FROM certificates
    WHERE tenant = :this_tenant AND principal_id = :principal_id AND created_at >= :since AND replaces <> ''"""
)
_COUNTS = DriverStatement(
    "SELECT state, count(*) FROM certificates WHERE tenant = :this_tenant GROUP BY state"
)


@cache
def _list_statement(
    *, principal: bool, partners: bool, partner: bool, state: bool, after: bool
) -> DriverStatement:
    """Return the list for these conditions; the one that fewest certificates meet chooses the index."""
    conditions = [_ALL]
    if principal:
        conditions.append("principal_id = :principal_id")
    if partners or partner:
        conditions.append("profile = 'partner'")  # as in the condition of the index
    if partner:
        conditions.append(
            """authority_id IN (SELECT id FROM partner_authorities
            WHERE tenant = :this_tenant AND partner_id = :partner_id)"""
        )
    if state:
        # Without statistics, SQLite takes half a million valid certificates for as few as those of one person.
        narrow = principal or partners or partner
        conditions.append("state || '' = :state" if narrow else "state = :state")
    if after:
        conditions.append("(created_at, id) > (:created_at, :after_id)")
    return DriverStatement(f"{' AND '.join(conditions)} ORDER BY created_at, id LIMIT :limit")


class SqlCertificates:
    """`stores.certificate_protocols.CertificateStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add_intended(self, *certificates: CertificateRecord) -> None:
        """Add certificates before they are signed; the unique keys refuse a second one with the same serial."""
        rows = []
        for one in certificates:
            self._transaction.require_writable(one.tenant)
            rows.append(_values(one) | {"state": CertificateState.INTENDED.value})
        if self._transaction.driver_write(_ADD, rows) != len(rows):
            serials = ", ".join(f"{one.serial:x}" for one in certificates)
            raise IntegrityError(
                "certificate-duplicate",
                f"a certificate with one of these serial numbers was recorded before: {serials[:200]}",
            )

    def add_seen(self, certificate: CertificateRecord) -> bool:
        """Add a certificate of a partner, unless one of its unique keys is taken."""
        self._transaction.require_writable(certificate.tenant)
        return self._transaction.driver_write(_ADD, [_values(certificate)]) == 1

    def complete(self, *certificates: CertificateRecord) -> None:
        """Make intended certificates valid: compare and set, so it happens once."""
        rows = []
        for one in certificates:
            self._transaction.require_writable(one.tenant)
            rows.append({"tenant": one.tenant, "of": one.id, "sha256": one.sha256, "der": one.der})
        if self._transaction.driver_write(_COMPLETE, rows) == len(rows):
            return
        if any(self.get(one.id) is None for one in certificates):
            raise _unknown()
        ids = ", ".join(one.id for one in certificates)
        raise IntegrityError(
            "certificate-not-intended", f"one of these certificates was completed before: {ids[:200]}"
        )

    def assign(self, certificate_id: str, principal_id: str, authority_id: str) -> None:
        """Set the holder and the issuing authority of a certificate."""
        values = {"principal_id": principal_id, "authority_id": authority_id}
        if not self._transaction.driver_change(_ASSIGN, of=certificate_id, **values):
            raise _unknown()

    def get(self, certificate_id: str) -> CertificateRecord | None:
        """Return the certificate."""
        row = self._transaction.driver_row(_GET, id=certificate_id)
        return None if row is None else _record(row)

    def by_sha256(self, sha256: str) -> CertificateRecord | None:
        """Return the certificate with this digest; every connection makes this look-up."""
        row = self._transaction.driver_row(_BY_SHA256, sha256=sha256)
        return None if row is None else _record(row)

    def by_serial(self, authority_id: str, serial: int) -> CertificateRecord | None:
        """Return the certificate of that issuer and serial."""
        row = self._transaction.driver_row(_BY_SERIAL, authority_id=authority_id, serial=f"{serial:x}")
        return None if row is None else _record(row)

    def list(self, wanted: CertificateFilter) -> list[CertificateRecord]:
        """Return those that match, in the order of their creation, after `wanted.after_id`."""
        values: dict[str, Any] = {"limit": wanted.limit}
        if wanted.after_id:
            values["after_id"] = wanted.after_id
            values["created_at"] = self._transaction.driver_value(_CREATED_AT, id=wanted.after_id)
            if values["created_at"] is None:
                raise NotFound(
                    "certificate-unknown",
                    f"the list cannot continue after the certificate {wanted.after_id}, because it does not exist",
                    hint="begin the list again without --after",
                )
        if wanted.principal_id is not None:
            values["principal_id"] = wanted.principal_id
        if wanted.partner_id is not None:
            values["partner_id"] = wanted.partner_id
        if wanted.state is not None:
            values["state"] = wanted.state.value
        statement = _list_statement(
            principal="principal_id" in values,
            partners=wanted.of_partners,
            partner="partner_id" in values,
            state="state" in values,
            after="after_id" in values,
        )
        return [_record(row) for row in self._transaction.driver_rows(statement, **values)]

    def find(self, prefix: str) -> builtins.list[CertificateRecord]:
        """Return at most 2 certificates with an id, serial (hex) or SHA-256 that starts with `prefix`."""
        if not prefix.isascii():  # no id, serial or digest has such a character
            return []
        text = prefix.lower()
        number = text.lstrip("0")  # openssl prints a zero before an odd number of digits
        found: dict[str, CertificateRecord] = {}
        for statement, start in ((_FIND_ID, text), (_FIND_SHA256, text), (_FIND_SERIAL, number)):
            if start:
                end = start[:-1] + chr(ord(start[-1]) + 1)
                rows = self._transaction.driver_rows(statement, start=start, end=end)
                found |= {one.id: one for one in map(_record, rows)}
        return [found[certificate_id] for certificate_id in sorted(found)][:2]

    def set_state(
        self,
        certificate_id: str,
        state: CertificateState,
        *,
        reason: RevocationReason | None,
        revoked_at: datetime | None,
    ) -> None:
        """Set the state."""
        values = {
            "of": certificate_id,
            "state": state.value,
            "reason": None if reason is None else reason.value,
            "revoked_at": to_optional_microseconds(revoked_at),
        }
        if not self._transaction.driver_change(_SET_STATE, **values):
            raise _unknown()

    def revoked(self, authority_id: str, not_after: datetime) -> Iterator[RevokedRow]:
        """Yield revoked and held certificates of an issuer that expire after `not_after`."""
        values = {"authority_id": authority_id, "not_after": to_microseconds(not_after)}
        for serial, end, at, reason in self._transaction.driver_rows(_REVOKED, **values):
            # A row that something else has written is listed too, if it lacks the reason or the time.
            yield int(serial, 16), end, at or 0, from_reason(reason)

    def successors(self, certificate_id: str) -> builtins.list[CertificateRecord]:
        """Return the certificates that were renewed from this one, oldest first, intents included."""
        rows = self._transaction.driver_rows(_SUCCESSORS, replaced=certificate_id)
        return sorted(map(_record, rows), key=lambda one: (one.created_at, one.id))

    def has_key(self, spki_sha256: str) -> bool:
        """Return whether a certificate that was ever valid has this key."""
        return bool(spki_sha256) and self._transaction.driver_value(_HAS_KEY, key=spki_sha256) is not None

    def revoked_keys(self, spki_sha256s: Collection[str]) -> frozenset[str]:
        """Return which of these keys a revoked certificate has."""
        rows = self._transaction.driver_rows_of(_REVOKED_KEYS, [one for one in spki_sha256s if one])
        return frozenset(key for (key,) in rows)

    def renewed_since(self, principal_id: str, since: datetime) -> builtins.list[datetime]:
        """Return when each renewal of this principal since then was recorded, oldest first."""
        values = {"principal_id": principal_id, "since": to_microseconds(since)}
        rows = self._transaction.driver_rows(_RENEWED_SINCE, **values)
        return sorted(from_microseconds(row[0]) for row in rows)

    def counts(self) -> Mapping[str, int]:
        """Return the number of certificates by state, zero included."""
        counts = {state.value: 0 for state in CertificateState}
        counts.update(self._transaction.driver_rows(_COUNTS))
        return counts


def _values(certificate: CertificateRecord) -> dict[str, Any]:
    """Return the columns of a row as the driver takes them; an intended certificate may have no digest."""
    return {
        "id": certificate.id,
        "tenant": certificate.tenant,
        "authority_id": certificate.authority_id,
        "serial": f"{certificate.serial:x}",
        "sha256": certificate.sha256 or None,
        "profile": certificate.profile,
        "state": certificate.state.value,
        "not_before": to_microseconds(certificate.not_before),
        "not_after": to_microseconds(certificate.not_after),
        "created_at": to_microseconds(certificate.created_at),
        "principal_id": certificate.principal_id,
        "subject_name": certificate.subject_name,
        "reason": None if certificate.reason is None else certificate.reason.value,
        "revoked_at": to_optional_microseconds(certificate.revoked_at),
        "replaces": certificate.replaces,
        "spki_sha256": certificate.spki_sha256,
        "der": certificate.der,
    }


def _record(row: DriverRow) -> CertificateRecord:
    # The order is that of the table's columns.
    (
        id_,
        tenant,
        authority_id,
        serial,
        sha256,
        profile,
        state,
        not_before,
        not_after,
        created_at,
        principal_id,
        subject_name,
        reason,
        revoked_at,
        replaces,
        spki_sha256,
        der,
    ) = row
    return CertificateRecord(
        id=id_,
        tenant=tenant,
        authority_id=authority_id,
        serial=int(serial, 16),
        sha256=sha256 or "",
        profile=profile,
        state=_STATES.get(state) or from_word(CertificateState, state),
        not_before=from_microseconds(not_before),
        not_after=from_microseconds(not_after),
        der=der,
        created_at=from_microseconds(created_at),
        principal_id=principal_id,
        subject_name=subject_name,
        reason=None if reason is None else from_reason(reason),
        revoked_at=None if revoked_at is None else from_microseconds(revoked_at),
        replaces=replaces,
        spki_sha256=spki_sha256,
    )


def _unknown() -> NotFound:
    return NotFound(
        "certificate-unknown", "there is no such certificate", hint="`doorward cert list` shows all"
    )
