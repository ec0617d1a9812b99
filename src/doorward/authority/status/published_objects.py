"""What relying parties fetch besides OCSP responses, CRLs and authority certificates, and whether it is fresh.

Not here: OCSP responses (ocsp_answering, ocsp_refresh), HTTP and caching headers (web.status).
Standard: RFC 5280 sections 4.2.2.1 and 5.
"""

from __future__ import annotations

from datetime import datetime

from doorward.authority.status.partitions import is_delta
from doorward.core.errors import NotFound
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.records import AuthorityKind, CrlRecord
from doorward.stores.services import Services


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

    `crl-missing`: no CRL was published yet. `crl-stale`: a complete CRL has expired. `crl-delta-stale`: a delta has, and
    relying parties have only the complete CRL.
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
    ended = {is_delta(crl.partition) for crls, _ in found for crl in crls if crl.next_update <= now}
    faults = {
        "crl-missing": any(not crls for crls, _ in found),
        "crl-stale": False in ended,
        "crl-delta-stale": True in ended,
        "responder-expired": any(one is None or one.not_after <= now for _, one in found),
    }
    return tuple(code for code, holds in faults.items() if holds)
