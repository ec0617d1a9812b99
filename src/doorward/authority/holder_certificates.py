"""Every certificate of one holder, in pages: the newest come last, so one page would miss them.

Not here: revoking (revocation), lines of renewals (line).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from doorward.core.certificate import CertificateState
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.renewal_terms import LONGEST_AFTER_END
from doorward.verification.validity import ends_at

PAGE = 500

_LIVE = (CertificateState.VALID, CertificateState.ON_HOLD)


def every_certificate(
    stores: Stores, principal_id: str, *, after_id: str = ""
) -> Iterator[CertificateRecord]:
    """Yield a principal's certificates in every state, oldest first, after this id; the caller may change their state."""
    wanted = CertificateFilter(principal_id=principal_id, after_id=after_id, limit=PAGE)
    while page := stores.certificates.list(wanted):
        yield from page
        if len(page) < PAGE:
            return
        wanted = replace(wanted, after_id=page[-1].id)


def has_certificate(stores: Stores, principal_id: str) -> bool:
    """Return whether a principal has a certificate that is valid or on hold; it may have ended."""
    wanted = [CertificateFilter(principal_id=principal_id, state=state, limit=1) for state in _LIVE]
    return any(stores.certificates.list(one) for one in wanted)


def live_certificates(stores: Stores, principal_id: str, now: datetime) -> Iterator[CertificateRecord]:
    """Yield a principal's certificates that are valid or on hold, oldest first.

    A certificate that has ended counts as long as any setting could allow its renewal: who has its key could come back
    with it.
    """
    for record in every_certificate(stores, principal_id):
        if record.state in _LIVE and ends_at(record.not_after) > now - LONGEST_AFTER_END:
            yield record
