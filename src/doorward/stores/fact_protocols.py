"""Facts about certificates for the inventory: what agents reported, and when a certificate was seen at a door.

No fact decides anything. Names of machines and times of visits are personal data: they live as long as the principal is in
the directory, and are removed with it.

Not here: SQL (storage), which facts an agent may report (`directory.device_facts`).
"""
# ruff: noqa: D102 - the property of FactStores is documented by the store it gives

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.core.entities import PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFacts:
    """What an agent said; a text is empty, and `next_renewal` None, if it did not say it. No fact is proven."""

    host_name: str = ""
    system: str = ""
    agent_version: str = ""
    store: str = ""
    next_renewal: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A certificate that was admitted at a door: when it was last seen there, and at which application."""

    certificate_id: str
    at: datetime
    application_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What is known about the use of one certificate.

    Args:
        certificate_id: the certificate.
        principal_id: its principal.
        reported: what its agent reported last.
        reported_at: when; None if no agent reported.
        seen_at: when it was last seen at a door, to about five minutes; None if it was never seen.
        seen_application: at which application; empty if it was never seen.
    """

    certificate_id: str
    principal_id: str
    reported: ReportedFacts = ReportedFacts()
    reported_at: datetime | None = None
    seen_at: datetime | None = None
    seen_application: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryFilter:
    """Which principals an inventory lists; None means any.

    Args:
        kind: of the principals.
        unseen_since: only those of which no certificate was seen at this time or later.
        not_reported: only those of which no agent ever reported.
        after_name: the last name of the previous page; empty for the first page.
        limit: principals; None for all.
    """

    kind: PrincipalKind
    unseen_since: datetime | None = None
    not_reported: bool = False
    after_name: str = ""
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRow:
    """One principal of an inventory.

    Args:
        principal_id: the principal.
        seen: the certificate of the principal that was seen last; None if none was ever seen.
        reported: the certificate of which the agent reported last; None if none ever did.
        valid_until: the latest end of its certificates that are valid; None if there is none.
    """

    principal_id: str
    seen: CertificateFacts | None = None
    reported: CertificateFacts | None = None
    valid_until: datetime | None = None


class FactStore(Protocol):
    """Facts about certificates. A certificate without a principal, or of a removed one, has none."""

    def report(self, certificate_id: str, facts: ReportedFacts, at: datetime) -> bool:
        """Replace what the agent of a certificate reported; False if no principal in the directory holds it."""
        ...

    def see(self, sightings: Sequence[Sighting], *, again_after: timedelta) -> int:
        """Note when certificates were seen, and return how many notes were written.

        A certificate that was noted less than `again_after` before its sighting is left as it is.
        """
        ...

    def of(self, certificate_ids: Collection[str]) -> Mapping[str, CertificateFacts]:
        """Return the facts of these certificates; those without any are left out."""
        ...

    def forget(self, principal_id: str) -> int:
        """Remove the facts about all certificates of a principal; return how many certificates had some."""
        ...

    def forget_partner(self, partner_id: str) -> int:
        """Remove the facts about all certificates of a partner's principals; return how many had some."""
        ...

    def inventory(self, wanted: InventoryFilter) -> Sequence[InventoryRow]:
        """Return the principals that match and are not removed, sorted by name."""
        ...


class FactStores(Protocol):
    """The store of this file, as part of `stores.protocols.Stores`."""

    @property
    def facts(self) -> FactStore: ...
