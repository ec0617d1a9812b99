"""Partners for display: terms, authorities and evidence. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.partners.examining import describe_subject
from doorward.partners.importing import list_partners, list_trusting_applications
from doorward.partners.trust import find_unread
from doorward.stores.partner_records import EvidenceRecord, PartnerAuthorityRecord, PartnerRecord
from doorward.stores.prerequisites import require_partner
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityView:
    """One of a partner's authorities.

    Args:
        record: the stored record.
        partner: the partner's name.
        subject: RFC 4514 text, safe for a screen.
        readable: False if the certificate cannot be parsed, so that it is not used for paths.
    """

    record: PartnerAuthorityRecord
    partner: str
    subject: str
    readable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerView:
    """A partner at one moment.

    Args:
        partner: its terms.
        authorities: its anchors and intermediates.
        evidence: the evidence of revocation, one row per source.
        trusting_applications: the applications with the partner in their `trust`.
    """

    partner: PartnerRecord
    authorities: tuple[AuthorityView, ...]
    evidence: tuple[EvidenceRecord, ...]
    trusting_applications: tuple[str, ...]

    @property
    def lacks_evidence(self) -> bool:
        """Whether its certificates are refused until evidence of revocation has been fetched."""
        return self.partner.revocation.value == "require" and not any(one.sha256 for one in self.evidence)


def show_partner(services: Services, name: str) -> PartnerView:
    """Return a partner; raise `NotFound` (`partner-unknown`, `not-founded`)."""
    with services.work.read() as stores:
        partner = require_partner(stores, name)
        authorities = stores.partners.authorities(partner.id)
        evidence = tuple(stores.evidence.list(partner.id))
        trusting = tuple(list_trusting_applications(stores, name))
    return PartnerView(
        partner=partner,
        authorities=tuple(_view(one, partner.name) for one in authorities),
        evidence=evidence,
        trusting_applications=trusting,
    )


def list_partner_authorities(services: Services) -> list[AuthorityView]:
    """Return the authorities of all partners, by the partner's name."""
    return [
        _view(one, partner.name) for partner, authorities in list_partners(services) for one in authorities
    ]


def _view(record: PartnerAuthorityRecord, partner: str) -> AuthorityView:
    return AuthorityView(
        record=record,
        partner=partner,
        subject=describe_subject(record.der),
        readable=not find_unread([record]),
    )
