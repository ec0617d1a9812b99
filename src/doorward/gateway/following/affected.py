"""Which live connections changes affect.

Not here: the ids that changes affect (`stores.affected_ids`), judging them again (reassessing), and the order of the steps (follower).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from doorward.directory.groups import group_id
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.records import ChangeKind, ChangeRecord


class AffectedConnections:
    """Finds the live connections that changes affect.

    Args:
        connections: the registry.
    """

    def __init__(self, connections: ConnectionRegistry) -> None:
        self._connections = connections

    def named_in(self, changes: Sequence[ChangeRecord]) -> list[LiveConnection]:
        """Return the connections of the certificates, principals and groups that these changes name."""
        found: dict[int, LiveConnection] = {}
        groups = {change.subject for change in changes if change.kind is ChangeKind.GROUP}
        if groups:
            found.update((one.cookie, one) for one in self._of_groups(groups))
        for change in changes:
            if change.kind is ChangeKind.CERTIFICATE:
                held = self._connections.of_certificate(change.subject)
            elif change.kind is ChangeKind.PRINCIPAL:
                held = self._connections.of_principal(change.subject)
            else:
                continue
            found.update((one.cookie, one) for one in held)
        return list(found.values())

    def anonymous_in(self, changes: Sequence[ChangeRecord]) -> list[LiveConnection]:
        """Return the anonymous connections that showed a certificate named by these changes, or one of its principal."""
        kinds = (ChangeKind.CERTIFICATE, ChangeKind.PRINCIPAL)
        found = (self._connections.showing(one.subject) for one in changes if one.kind in kinds)
        return list({one.cookie: one for some in found for one in some}.values())

    def of_choices(self, subjects: Collection[str]) -> list[LiveConnection]:
        """Return the connections of which the peers want to show another certificate (`stores.certificate_choice`)."""
        return [
            one
            for one in self._connections.all()
            if CertificateChoice.of(one.application_id, one.sha256, one.source_address).subject in subjects
        ]

    def of_partner(self, partner_id: str) -> list[LiveConnection]:
        """Return the connections of a partner's people."""
        return [one for one in self._connections.all() if one.partner_id == partner_id]

    def _of_groups(self, group_ids: Collection[str]) -> list[LiveConnection]:
        """Return the connections of the members of these groups, by the groups of each principal when it was last judged.

        If a principal joined a group since then, its own change is in this batch or a later one.
        """
        return [
            one
            for groups in self._connections.groups()
            if any(group_id(group) in group_ids for group in groups)
            for one in self._connections.of_groups(groups)
        ]
