"""The refresh of pre-signed OCSP responses, page by page.

Not here: answering requests (ocsp_answering).
Standard: RFC 6960 section 2.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.authority.status.ocsp_responses import (
    OcspSigner,
    load_signer,
    refresh_horizon,
    replace_responses,
)
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.verification.validity import has_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRefreshResult:
    """The result of one page of the refresh job; `more` is True if another page may be due."""

    looked_at: int
    signed: int
    more: bool


def refresh_ocsp(services: Services, *, limit: int = 500) -> OcspRefreshResult:
    """Sign one page of due responses: more than half of their lifetime is over, or they are missing.

    Every certificate of a page is signed or dropped, so a caller that repeats this until `more` is False ends.

    Args:
        services: the ports of this process.
        limit: certificates in one page, which is one transaction.

    Raises:
        NotFound: `not-founded`.
        Unavailable: `keys-unavailable`, `responder-expired`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        due = stores.status.due_ocsp(refresh_horizon(services, stores, now), limit)
        signer = load_signer(services, stores) if due else None
    if signer is None:
        return OcspRefreshResult(looked_at=0, signed=0, more=False)
    with services.work.change() as stores:
        signed = sum(_refresh(stores, signer, certificate_id, now) for certificate_id in due)
    return OcspRefreshResult(looked_at=len(due), signed=signed, more=len(due) == limit)


def _refresh(stores: Stores, signer: OcspSigner, certificate_id: str, now: datetime) -> bool:
    """Sign the responses about one certificate; drop them if it has expired, or if this signer may not sign them."""
    # Read again: it may have been revoked since the page was read.
    record = stores.certificates.get(certificate_id)
    expired = record is None or has_ended(record.not_after, now)
    responses = () if record is None or expired else signer.sign(record, now)
    if responses:
        replace_responses(stores, certificate_id, responses, now)
    else:
        stores.status.forget_ocsp(certificate_id)
    return bool(responses)
