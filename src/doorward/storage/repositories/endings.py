"""Valid certificates of our own by their end.

The look-ups read a range of the index of ends, and for each certificate its holder and its successors by their indexes.
Not here: the certificates themselves (`certificates`).
"""

from __future__ import annotations

import builtins
from datetime import datetime

from doorward.core.errors import NotFound
from doorward.storage import repositories
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import from_microseconds, to_microseconds
from doorward.stores.records import CertificateRecord

_UNTIL = """FROM certificates c JOIN principals p ON p.id = c.principal_id
    WHERE c.tenant = :this_tenant AND c.state = 'valid' AND c.not_after <= :until AND p.partner_id = ''"""
_CURRENT = """ AND p.state = 'active' AND NOT EXISTS (
        SELECT 1 FROM certificates n
        WHERE n.replaces = c.id AND n.tenant = :this_tenant AND n.state <> 'intended')"""
_PAGE = " AND (c.not_after, c.id) > (:since, :after) ORDER BY c.not_after, c.id LIMIT :limit"
_LIST_CURRENT = DriverStatement(f"SELECT c.id {_UNTIL}{_CURRENT}{_PAGE}")
_LIST_EVERY = DriverStatement(f"SELECT c.id {_UNTIL}{_PAGE}")
_COUNT = DriverStatement(f"SELECT count(*) {_UNTIL} AND c.not_after > :since{_CURRENT}")
_END = DriverStatement("SELECT not_after FROM certificates WHERE tenant = :this_tenant AND id = :of")
_IS_CURRENT = DriverStatement(
    f"""SELECT 1 FROM certificates c JOIN principals p ON p.id = c.principal_id
    WHERE c.tenant = :this_tenant AND c.id = :of AND c.state = 'valid' AND p.partner_id = ''{_CURRENT}"""  # noqa: S608 - constants of this file
)
_AFTER_EVERY_ID = "~"
"""A text that comes after every id, so that the list begins after its first moment."""


class SqlEndings:
    """`stores.notice_protocols.EndingStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def list(
        self, since: datetime, until: datetime, *, every: bool = False, after: str = "", limit: int = 100
    ) -> builtins.list[CertificateRecord]:
        """Return those that end in the range, in the order of their ends."""
        begin, last = since, _AFTER_EVERY_ID
        if after:
            value = self._transaction.driver_value(_END, of=after)
            if value is None:
                raise NotFound(
                    "certificate-unknown",
                    f"the list cannot continue after the certificate {after[:64]}, because it does not exist",
                    hint="begin the list again without --after",
                )
            if (at := from_microseconds(value)) > since:
                begin, last = at, after
        values = {
            "since": to_microseconds(begin),
            "until": to_microseconds(until),
            "after": last,
            "limit": limit,
        }
        statement = _LIST_EVERY if every else _LIST_CURRENT
        ids = [row[0] for row in self._transaction.driver_rows(statement, **values)]
        certificates = repositories.certificates.SqlCertificates(self._transaction)
        return [found for one in ids if (found := certificates.get(one)) is not None]

    def count(self, since: datetime, until: datetime) -> int:
        """Return how many were not renewed."""
        values = {"since": to_microseconds(since), "until": to_microseconds(until)}
        return int(self._transaction.driver_value(_COUNT, **values))

    def is_current(self, certificate_id: str) -> bool:
        """Return whether a certificate is valid, not renewed, and its holder is active."""
        return self._transaction.driver_value(_IS_CURRENT, of=certificate_id) is not None
