"""The inventory of principals: who or what is there, when it was last seen at a door, and what its agent reported.

Reading only, and for operators. Not here: certificates one by one (`authority.inventory`), the facts (`stores.fact_protocols`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from doorward.core.entities import Principal, PrincipalKind
from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.stores.fact_protocols import CertificateFacts, InventoryFilter, InventoryRow, ReportedFacts
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

_NO_FACTS = ReportedFacts()
_LONGEST = timedelta(days=36_500)
_PAGE = 1000
"""Up to so many principals are read one by one; for more, the whole directory is read once."""


class InventoryOrder(Enum):
    """The order of a list."""

    NAME = "name"
    LAST_SEEN = "last-seen"  # never seen first, then the longest unseen
    CERTIFICATE_END = "certificate-end"  # none first, then the earliest end


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """One principal with what is known about its use.

    Args:
        principal: with its groups.
        last_seen: when one of its certificates was last seen at a door, to about five minutes; None if never.
        where: the name of the application where; the id of one that was removed; empty if never seen.
        certificate_until: the latest end of its valid certificates; None if it has none.
        reported: what an agent of it reported last; all empty if none did.
        reported_at: when; None if no agent ever reported.
    """

    principal: Principal
    last_seen: datetime | None = None
    where: str = ""
    certificate_until: datetime | None = None
    reported: ReportedFacts = _NO_FACTS
    reported_at: datetime | None = None


def list_inventory(
    services: Services,
    kind: PrincipalKind,
    *,
    stale: timedelta | None = None,
    not_reported: bool = False,
    order: InventoryOrder = InventoryOrder.NAME,
    after: str = "",
    limit: int | None = None,
) -> tuple[list[InventoryEntry], bool]:
    """Return the principals of a kind that are not removed, and whether there are more.

    Args:
        services: the ports of this process.
        kind: person, device or service.
        stale: only those that were never seen, or not for so long.
        not_reported: only those of which no agent ever reported.
        order: of the result.
        after: the last name of the previous page; only in the order of names.
        limit: how many are returned at most; None for all.
    """
    by_name = order is InventoryOrder.NAME
    wanted = InventoryFilter(
        kind=kind,
        unseen_since=None if stale is None else services.clock.now() - min(stale, _LONGEST),
        not_reported=not_reported,
        after_name=after,
        limit=limit + 1 if by_name and limit is not None else None,
    )
    with services.work.read() as stores:
        rows = list(stores.facts.inventory(wanted))
        if not by_name:
            rows.sort(key=_last_seen if order is InventoryOrder.LAST_SEEN else _certificate_end)
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        principals = _find_principals(stores, kind, rows)
        names = find_application_names(stores)
    return [_entry(principals[row.principal_id], row, names) for row in rows], more


def find_application_names(stores: Stores) -> Mapping[str, str]:
    """Return the names of the applications in force, and of the portal, by id."""
    return {PORTAL_APPLICATION: PORTAL_AUDIENCE} | {one.id: one.name for one in stores.applications.list()}


def find_facts(services: Services, certificate_ids: Sequence[str]) -> Mapping[str, CertificateFacts]:
    """Return the facts about certificates, by id; `seen_application` is the name of the application."""
    with services.work.read() as stores:
        names = find_application_names(stores)
        return {
            id_: CertificateFacts(
                certificate_id=id_,
                principal_id=one.principal_id,
                reported=one.reported,
                reported_at=one.reported_at,
                seen_at=one.seen_at,
                seen_application=names.get(one.seen_application, one.seen_application),
            )
            for id_, one in stores.facts.of(certificate_ids).items()
        }


def _find_principals(
    stores: Stores, kind: PrincipalKind, rows: Sequence[InventoryRow]
) -> Mapping[str, Principal]:
    if len(rows) > _PAGE:
        return {one.id: one for one in stores.directory.list(kind)}
    found = (stores.directory.get(row.principal_id) for row in rows)
    return {one.id: one for one in found if one is not None}


def _entry(principal: Principal, row: InventoryRow, names: Mapping[str, str]) -> InventoryEntry:
    seen, reported = row.seen, row.reported
    application = seen.seen_application if seen else ""
    return InventoryEntry(
        principal=principal,
        last_seen=seen.seen_at if seen else None,
        where=names.get(application, application),
        certificate_until=row.valid_until,
        reported=reported.reported if reported else _NO_FACTS,
        reported_at=reported.reported_at if reported else None,
    )


def _last_seen(row: InventoryRow) -> tuple[bool, datetime | None]:
    at = row.seen.seen_at if row.seen else None
    return (at is not None, at)


def _certificate_end(row: InventoryRow) -> tuple[bool, datetime | None]:
    return (row.valid_until is not None, row.valid_until)
