"""What is trusted of a partner, as far as evidence is concerned; made once for as long as it stays the same.

It is what connections are judged by (`partner_trust`), but for the purpose: whose status is looked up needs a
good path, for whatever purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.partners.trust import build_partner_trust
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore

_REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """A partner's authorities, and what is asked of a path to them; none where that is not `readable`."""

    store: TrustStore
    inputs: PathInputs
    readable: bool = True

    def find_path(self, certificate: PathCertificate, now: datetime) -> tuple[PathCertificate, ...]:
        """Return the good path of a certificate now, leaf first; empty if it has none."""
        judgement = judge_path(certificate, self.store, self.inputs, now)
        return tuple(judgement.path) if judgement.outcome is Outcome.GOOD else ()

    def find_issuer(self, certificate: PathCertificate, now: datetime) -> PathCertificate | None:
        """Return who issued a certificate that has a good path now; None where it has none.

        Nothing is ever fetched for a certificate without one: its addresses are somebody's wish, no more.
        """
        path = self.find_path(certificate, now)
        return path[1] if path else None


def trust_of(partner: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord]) -> Trusted:
    """Return what is trusted of a partner: nothing where its terms or certificates cannot be read.

    Nobody of such a partner is let in; the others' evidence is fetched as ever.
    """
    return _build(partner, tuple(authorities))


@functools.lru_cache(maxsize=_REMEMBERED)
def _build(partner: PartnerRecord, authorities: tuple[PartnerAuthorityRecord, ...]) -> Trusted:
    try:
        trust = build_partner_trust(partner, authorities)
    except (MalformedInput, ValueError):
        return Trusted(store=TrustStore(()), inputs=PathInputs(purpose=None), readable=False)
    return Trusted(store=trust.store, inputs=replace(trust.inputs, purpose=None))


def parse_if_sound(der: bytes) -> PathCertificate | None:
    """Return what a certificate says; None where it does not parse."""
    try:
        return parse_path_certificate(der)
    except MalformedInput:
        return None
