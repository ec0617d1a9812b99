"""What relying parties fetch besides OCSP: CRLs and authority certificates; and the refresh of pre-signed OCSP responses.

Not here: answering OCSP requests (ocsp_answering), HTTP and caching headers (web.status).
Standard: RFC 5280 section 5; RFC 6960 section 2.5.
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
from doorward.core.errors import NotFound
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import (
    AuthorityKind,
    CrlRecord,
)
from doorward.stores.services import Services
from doorward.verification.validity import has_ended


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRefreshResult:
    """The result of one page of the refresh job; `more` is True if another page may be due."""

    looked_at: int
    signed: int
    more: bool


def current_crl(services: Services, authority_id: str = "", partition: str = "") -> CrlRecord | None:
    """Return the newest CRL of an authority (default: the current issuing authority), or None.

    Args:
        services: the ports of this process.
        authority_id: `aut_…`.
        partition: the name of a partition; empty for the full CRL.
    """
    with services.work.read() as stores:
        issuer = authority_id or require_authority(stores, AuthorityKind.ISSUING).id
        return stores.status.crl(issuer, partition)


def crl_number(services: Services, authority_id: str, partition: str = "") -> int | None:
    """Return the number of the CRL that `current_crl` returns, without reading the CRL; None if there is none."""
    with services.work.read() as stores:
        return stores.status.crl_number(authority_id, partition)


def authority_certificate(services: Services, authority_id: str) -> bytes:
    """Return an own authority certificate in DER; raise `NotFound` (`authority-unknown`)."""
    with services.work.read() as stores:
        authority = stores.authorities.get(authority_id)
    if authority is None:
        raise NotFound("authority-unknown", f"there is no authority certificate {authority_id[:64]} here")
    return authority.der


def find_faults(services: Services, now: datetime) -> tuple[str, ...]:
    """Return the codes of the faults because of which relying parties cannot get a current status.

    They are those of every issuing authority that is trusted.

    `crl-missing`: no CRL was published yet. `crl-stale`: a CRL has expired.
    `responder-expired`: the OCSP responder's certificate has expired, so nothing is signed.

    Raises:
        NotFound: `not-founded`.
    """
    with services.work.read() as stores:
        require_authority(stores, AuthorityKind.ISSUING)
        found = [
            (stores.status.crl_heads(one.id), stores.authorities.responder(one.id))
            for one in trusted_issuers(stores)
        ]
    faults = {
        "crl-missing": any(not crls for crls, _ in found),
        "crl-stale": any(crl.next_update <= now for crls, _ in found for crl in crls),
        "responder-expired": any(one is None or one.not_after <= now for _, one in found),
    }
    return tuple(code for code, holds in faults.items() if holds)


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
