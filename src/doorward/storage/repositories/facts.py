"""Facts about certificates, and the inventory of principals.

Not here: what is reported and by whom (`directory.device_facts`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from doorward.storage.driver_statement import DriverRow, DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.values import (
    from_optional_microseconds,
    to_microseconds,
    to_optional_microseconds,
)
from doorward.stores.fact_protocols import (
    CertificateFacts,
    InventoryFilter,
    InventoryRow,
    ReportedFacts,
    Sighting,
)

_NO_LIMIT = 2**62
_MICROSECOND = timedelta(microseconds=1)
# The certificate gives the principal; of a removed one nothing is kept.
_INSERT = """INSERT INTO certificate_facts (certificate_id, tenant, principal_id, host_name, system, agent_version,
        store, next_renewal, reported_at, seen_at, seen_application)
    SELECT c.id, c.tenant, c.principal_id, {values}
    FROM certificates AS c JOIN principals AS p ON p.id = c.principal_id
    WHERE c.tenant = :this_tenant AND c.id = :of AND p.state <> 'removed'
    ON CONFLICT (certificate_id) DO UPDATE SET {update}"""
_REPORT = DriverStatement(
    _INSERT.format(
        values=":host_name, :system, :agent_version, :store, :next_renewal, :at, NULL, ''",
        update="""host_name = excluded.host_name, system = excluded.system, agent_version = excluded.agent_version,
            store = excluded.store, next_renewal = excluded.next_renewal, reported_at = excluded.reported_at,
            principal_id = excluded.principal_id""",
    )
)
_SEE = DriverStatement(
    _INSERT.format(
        values="'', '', '', '', NULL, NULL, :at, :application",
        update="""seen_at = excluded.seen_at, seen_application = excluded.seen_application
            WHERE certificate_facts.seen_at IS NULL OR certificate_facts.seen_at < :before""",
    )
)
_OF = DriverStatement(
    """SELECT certificate_id, principal_id, host_name, system, agent_version, store, next_renewal, reported_at,
        seen_at, seen_application
    FROM certificate_facts WHERE tenant = :this_tenant AND certificate_id = :of"""
)
_FORGET = DriverStatement("DELETE FROM certificate_facts WHERE tenant = :this_tenant AND principal_id = :of")
_FORGET_PARTNER = DriverStatement(
    """DELETE FROM certificate_facts WHERE tenant = :this_tenant AND principal_id IN (
        SELECT id FROM principals WHERE tenant = :this_tenant AND partner_id = :of AND partner_id <> '')"""
)
_UNSEEN = """AND NOT EXISTS (SELECT 1 FROM certificate_facts AS s
    WHERE s.tenant = p.tenant AND s.principal_id = p.id AND s.seen_at >= :unseen_since)"""
_NOT_REPORTED = """AND NOT EXISTS (SELECT 1 FROM certificate_facts AS r
    WHERE r.tenant = p.tenant AND r.principal_id = p.id AND r.reported_at IS NOT NULL)"""


_CONDITIONS = {
    (False, False): "",
    (True, False): _UNSEEN,
    (False, True): _NOT_REPORTED,
    (True, True): f"{_UNSEEN} {_NOT_REPORTED}",
}
_PRINCIPALS = """SELECT p.id AS id, p.name AS name FROM principals AS p
    WHERE p.tenant = :this_tenant AND p.state <> 'removed' AND p.kind = :kind AND p.name > :after"""
# The state is in an expression: by the index of states, each principal would cost the reading of all valid certificates.
_INVENTORY = """SELECT o.id, o.name,
        (SELECT max(c.not_after) FROM certificates AS c
            WHERE c.tenant = :this_tenant AND c.principal_id = o.id AND c.state || '' = 'valid'),
        f.certificate_id, f.principal_id, f.host_name, f.system, f.agent_version, f.store, f.next_renewal,
        f.reported_at, f.seen_at, f.seen_application
    FROM ({principals} ORDER BY p.name LIMIT :at_most) AS o
    LEFT JOIN certificate_facts AS f ON f.tenant = :this_tenant AND f.principal_id = o.id"""
# One row for each certificate of a page of principals that has facts.
_INVENTORIES = {
    which: DriverStatement(_INVENTORY.format(principals=f"{_PRINCIPALS} {condition}"))
    for which, condition in _CONDITIONS.items()
}


class SqlFacts:
    """`stores.fact_protocols.FactStore`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def report(self, certificate_id: str, facts: ReportedFacts, at: datetime) -> bool:
        """Replace what the agent of a certificate reported."""
        changed = self._transaction.driver_change(
            _REPORT,
            of=certificate_id,
            host_name=facts.host_name,
            system=facts.system,
            agent_version=facts.agent_version,
            store=facts.store,
            next_renewal=to_optional_microseconds(facts.next_renewal),
            at=to_microseconds(at),
        )
        return changed == 1

    def see(self, sightings: Sequence[Sighting], *, again_after: timedelta) -> int:
        """Note when certificates were seen."""
        tenant, least = self._transaction.tenant, again_after // _MICROSECOND
        moments = ((one, to_microseconds(one.at)) for one in sightings)
        rows = [
            {
                "this_tenant": tenant,
                "of": one.certificate_id,
                "at": at,
                "before": at - least + 1,
                "application": one.application_id,
            }
            for one, at in moments
        ]
        return self._transaction.driver_write(_SEE, rows)

    def of(self, certificate_ids: Collection[str]) -> dict[str, CertificateFacts]:
        """Return the facts of those certificates that have some."""
        rows = (self._transaction.driver_row(_OF, of=one) for one in certificate_ids)
        return {facts.certificate_id: facts for facts in map(_build, filter(None, rows))}

    def forget(self, principal_id: str) -> int:
        """Remove the facts about all certificates of a principal."""
        return self._transaction.driver_change(_FORGET, of=principal_id)

    def forget_partner(self, partner_id: str) -> int:
        """Remove the facts about all certificates of a partner's principals."""
        return self._transaction.driver_change(_FORGET_PARTNER, of=partner_id)

    def inventory(self, wanted: InventoryFilter) -> list[InventoryRow]:
        """Return the principals that match, sorted by name."""
        since = wanted.unseen_since
        values: dict[str, str | int] = {
            "kind": wanted.kind.value,
            "after": wanted.after_name,
            "at_most": _NO_LIMIT if wanted.limit is None else wanted.limit,
        }
        if since is not None:
            values["unseen_since"] = to_microseconds(since)
        statement = _INVENTORIES[since is not None, wanted.not_reported]
        found: dict[tuple[str, str], tuple[int | None, list[CertificateFacts]]] = {}
        for id_, name, valid_until, *facts in self._transaction.driver_rows(statement, **values):
            _, known = found.setdefault((name, id_), (valid_until, []))
            if facts[0] is not None:
                known.append(_build(tuple(facts)))
        return [
            _row(id_, valid_until, facts)
            for (_, id_), (valid_until, facts) in sorted(found.items(), key=lambda one: one[0])
        ]


def _row(principal_id: str, valid_until: int | None, facts: Iterable[CertificateFacts]) -> InventoryRow:
    kept = list(facts)
    seen = [(one.seen_at, one.certificate_id, one) for one in kept if one.seen_at is not None]
    reported = [(one.reported_at, one.certificate_id, one) for one in kept if one.reported_at is not None]
    return InventoryRow(
        principal_id=principal_id,
        seen=max(seen, key=lambda one: one[:2])[-1] if seen else None,
        reported=max(reported, key=lambda one: one[:2])[-1] if reported else None,
        valid_until=from_optional_microseconds(valid_until),
    )


def _build(row: DriverRow) -> CertificateFacts:
    (
        certificate_id,
        principal_id,
        host_name,
        system,
        agent_version,
        store,
        next_renewal,
        reported_at,
        seen_at,
        application,
    ) = row
    return CertificateFacts(
        certificate_id=certificate_id,
        principal_id=principal_id,
        reported=ReportedFacts(
            host_name=host_name,
            system=system,
            agent_version=agent_version,
            store=store,
            next_renewal=from_optional_microseconds(next_renewal),
        ),
        reported_at=from_optional_microseconds(reported_at),
        seen_at=from_optional_microseconds(seen_at),
        seen_application=application,
    )
