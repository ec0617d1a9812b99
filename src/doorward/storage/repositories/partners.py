"""Partners and the certificates of their authorities.

Not here: evidence of revocation (`evidence`), verifying it (`verification`).
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from doorward.core.entities import PrincipalKind
from doorward.core.errors import NotFound, RequestRefused
from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_microseconds,
    from_optional_microseconds,
    from_word,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode

_COLUMNS = PartnerRecord.__slots__
_TERMS = tuple(name for name in _COLUMNS if name not in ("id", "tenant", "name", "created_at", "removed_at"))
_ALL = f"SELECT {', '.join(_COLUMNS)} FROM partners WHERE tenant = :this_tenant"  # noqa: S608 - names of the record
_GET = DriverStatement(f"{_ALL} AND id = :id")
_BY_NAME = DriverStatement(f"{_ALL} AND removed_at IS NULL AND name = :name")
_LIST = DriverStatement(f"{_ALL} AND removed_at IS NULL ORDER BY name")
_ADD = DriverStatement(
    f"""INSERT INTO partners ({", ".join(_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
    ON CONFLICT DO NOTHING"""  # noqa: S608 - names of the record
)
_OF = "tenant = :this_tenant AND id = :of AND removed_at IS NULL"
_SET = ", ".join(f"{name} = :{name}" for name in _TERMS)
_SAVE = DriverStatement(f"UPDATE partners SET {_SET} WHERE {_OF}")  # noqa: S608 - as above
_REMOVE = DriverStatement(f"UPDATE partners SET removed_at = :at WHERE {_OF}")  # noqa: S608 - as above

_AUTHORITY = PartnerAuthorityRecord.__slots__
_EVERY = f"SELECT {', '.join(_AUTHORITY)} FROM partner_authorities WHERE tenant = :this_tenant"  # noqa: S608 - as above
_AUTHORITIES = DriverStatement(
    f"{_EVERY} AND partner_id = :partner_id AND trusted ORDER BY anchor DESC, sha256"
)
_EVERY_AUTHORITY = DriverStatement(f"{_EVERY} ORDER BY id")
_OWNER = DriverStatement(
    "SELECT partner_id FROM partner_authorities WHERE tenant = :this_tenant AND id = :id"
)
_DISTRUST = DriverStatement(
    "UPDATE partner_authorities SET trusted = false WHERE tenant = :this_tenant AND partner_id = :of"
)
_TRUST = DriverStatement(
    # A row of a former authority keeps its id and its time.
    f"""INSERT INTO partner_authorities ({", ".join(_AUTHORITY)}, trusted)
    VALUES ({", ".join(f":{name}" for name in _AUTHORITY)}, :trusted)
    ON CONFLICT (partner_id, sha256) DO UPDATE
    SET tenant = excluded.tenant, anchor = excluded.anchor, trusted = excluded.trusted, der = excluded.der,
        not_after = excluded.not_after"""  # noqa: S608 - as above
)

_SECOND = timedelta(seconds=1)
_SPANS = ("max_staleness", "short_lived", "refresh")
_LISTS = ("allow_private", "crl_urls", "ocsp_urls", "groups", "permitted", "excluded")


class SqlPartners:
    """`stores.partner_protocols.PartnerStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, partner: PartnerRecord) -> None:
        """Add a partner."""
        self._transaction.require_writable(partner.tenant)
        if not self._transaction.driver_change(_ADD, **_row(partner)):
            raise RequestRefused(
                "name-taken",
                f"there is a partner named {partner.name} already",
                hint="choose another name; `doorward ca list` shows those in use, and `doorward ca import --replace` changes a partner",
            )

    def save(self, partner: PartnerRecord) -> None:
        """Replace the terms of a partner."""
        self._transaction.require_writable(partner.tenant)
        row = _row(partner)
        if not self._transaction.driver_change(_SAVE, of=partner.id, **{name: row[name] for name in _TERMS}):
            raise _unknown()

    def get(self, partner_id: str) -> PartnerRecord | None:
        """Return the partner, also a removed one."""
        return _partner(self._transaction.driver_row(_GET, id=partner_id))

    def by_name(self, name: str) -> PartnerRecord | None:
        """Return the partner of that name that is not removed."""
        return _partner(self._transaction.driver_row(_BY_NAME, name=name))

    def list(self) -> list[PartnerRecord]:
        """Return all that are not removed, sorted by name."""
        rows = self._transaction.driver_rows(_LIST)
        return [found for row in rows if (found := _partner(row)) is not None]

    def remove(self, partner_id: str, removed_at: datetime) -> None:
        """Mark a partner as removed."""
        if not self._transaction.driver_change(_REMOVE, of=partner_id, at=to_microseconds(removed_at)):
            raise _unknown()

    def set_authorities(self, partner_id: str, authorities: Sequence[PartnerAuthorityRecord]) -> None:
        """Replace the trusted authorities of a partner; rows of former authorities stay, untrusted, with their ids."""
        self._transaction.driver_change(_DISTRUST, of=partner_id)
        for one in authorities:
            self._transaction.require_writable(one.tenant)
            if one.partner_id != partner_id:
                raise ValueError("the authority belongs to another partner")
            self._transaction.driver_change(
                _TRUST,
                id=one.id,
                tenant=one.tenant,
                partner_id=one.partner_id,
                sha256=one.sha256,
                anchor=one.anchor,
                trusted=True,
                der=one.der,
                not_after=to_microseconds(one.not_after),
                created_at=to_microseconds(one.created_at),
            )

    def authorities(self, partner_id: str) -> builtins.list[PartnerAuthorityRecord]:
        """Return the trusted authorities of a partner, anchors first."""
        rows = self._transaction.driver_rows(_AUTHORITIES, partner_id=partner_id)
        return [_authority(row) for row in rows]

    def every_authority(self) -> builtins.list[PartnerAuthorityRecord]:
        """Return the authorities of all partners."""
        return [_authority(row) for row in self._transaction.driver_rows(_EVERY_AUTHORITY)]

    def issuer(self, authority_id: str) -> str | None:
        """Return the partner id of an authority."""
        found: str | None = self._transaction.driver_value(_OWNER, id=authority_id)
        return found


def _row(partner: PartnerRecord) -> dict[str, Any]:
    """Return the columns as the driver takes them; the forms are those of `storage.types`."""
    row: dict[str, Any] = {name: getattr(partner, name) for name in _COLUMNS}
    for name in _SPANS:
        span: timedelta = row[name]
        if span % _SECOND:
            raise ValueError(f"a duration must be whole seconds: {span}")
        row[name] = span // _SECOND
    for name in _LISTS:
        row[name] = json.dumps(row[name], ensure_ascii=False)
    for name in ("revocation", "source", "kind"):
        row[name] = row[name].value
    row["created_at"] = to_microseconds(partner.created_at)
    row["removed_at"] = to_optional_microseconds(partner.removed_at)
    return row


def _partner(row: DriverRow | None) -> PartnerRecord | None:
    if row is None:
        return None
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    for name in _SPANS:
        values[name] = timedelta(seconds=values[name])
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    values["revocation"] = from_word(RevocationMode, values["revocation"])
    values["source"] = from_word(SanSource, values["source"])
    values["kind"] = from_word(PrincipalKind, values["kind"])
    values["everyone"] = bool(values["everyone"])  # a number on SQLite
    values["created_at"] = from_microseconds(values["created_at"])
    values["removed_at"] = from_optional_microseconds(values["removed_at"])
    return PartnerRecord(**values)


def _authority(row: DriverRow) -> PartnerAuthorityRecord:
    values: dict[str, Any] = dict(zip(_AUTHORITY, row, strict=True))
    values["anchor"] = bool(values["anchor"])
    values["not_after"] = from_microseconds(values["not_after"])
    values["created_at"] = from_microseconds(values["created_at"])
    return PartnerAuthorityRecord(**values)


def _unknown() -> NotFound:
    return NotFound("partner-unknown", "there is no such partner", hint="`doorward ca list` names them")
