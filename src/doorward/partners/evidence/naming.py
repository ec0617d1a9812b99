"""Whether a list that was found at an address is one that a certificate may be asked about there.

Who names the address has chosen who answers: the owner of one intermediate must not be able to hand out an
old list of a sibling by naming an address of his own. So somebody whose issuer's list it is must name it too.
0. An address that the operator gave by hand is named for every authority of the partner.
1. The partner's authorities first: anchors, and intermediates with a good path now.
2. Then the leaves that it has in the inventory, a page at a time, oldest first.
The first that fits ends the search. So a list costs at most a look at all leaves of this partner, which is what
one that fits nobody costs; those of others the store passes over, and none of them is loaded. An address stands
in a certificate in its own letters (IA5String), a blank as it is: what does not hold them is not parsed.

Not here: whether the list is genuine, which is asked before.
Standard: RFC 5280 sections 4.2.1.13 and 6.3.3 (b).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from doorward.core.certificate import CertificateState
from doorward.partners.evidence.sources import CERTIFICATES_AT_ONCE
from doorward.partners.evidence.trust import parse_if_sound, trust_of
from doorward.stores.partner_records import PARTNER_PROFILE, PartnerAuthorityRecord, PartnerRecord
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.sources import may_serve


def is_named_for(
    services: Services,
    partner: PartnerRecord,
    authorities: tuple[PartnerAuthorityRecord, ...],
    *,
    url: str,
    crl: Crl,
    now: datetime,
) -> bool:
    """Return whether a verified certificate of the partner takes a list of this issuer from this address."""
    if url in partner.crl_urls:
        return True
    trusted = trust_of(partner, authorities)
    for der in _holding(services, partner, authorities, url):
        certificate = parse_if_sound(der)
        if certificate is None or not may_serve(certificate, url, crl):
            continue
        if trusted.store.is_anchor(certificate) or trusted.find_issuer(certificate, now) is not None:
            return True
    return False


def _holding(
    services: Services, partner: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord], url: str
) -> Iterator[bytes]:
    """Yield the partner's certificates in which the letters of the address stand."""
    letters, last = {url.encode(), url.replace("%20", " ").encode()}, ""
    yield from (one.der for one in authorities if any(text in one.der for text in letters))
    while True:
        with services.work.read() as stores:
            leaves = stores.certificates.list(
                CertificateFilter(
                    partner_id=partner.id,
                    profile=PARTNER_PROFILE,
                    state=CertificateState.VALID,
                    after_id=last,
                    limit=CERTIFICATES_AT_ONCE,
                )
            )
        yield from (one.der for one in leaves if any(text in one.der for text in letters))
        if len(leaves) < CERTIFICATES_AT_ONCE:
            return
        last = leaves[-1].id
