"""The certificates of a person, device or service: reading only.

Not here: finding one certificate by id, serial number or digest (`authority.inventory`).
"""

from __future__ import annotations

from collections import deque

from doorward.authority.holder_certificates import every_certificate
from doorward.core.certificate import CertificateState
from doorward.core.entities import Principal, PrincipalKind
from doorward.stores.prerequisites import require_principal
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.services import Services


def list_certificates(
    services: Services, *, of: str = "", state: CertificateState | None = None, after: str = "", limit: int
) -> tuple[list[CertificateRecord], bool]:
    """Return certificates, oldest first, and whether there are more.

    Args:
        services: the ports of this process.
        of: name of a principal, to list only its certificates.
        state: list only certificates in this state.
        after: id of a certificate, to list only later ones.
        limit: how many are returned at most.

    Raises:
        NotFound: `principal-unknown`.
    """
    with services.work.read() as stores:
        wanted = CertificateFilter(
            principal_id=require_principal(stores, of).id if of else None,
            state=state,
            after_id=after,
            limit=limit + 1,  # one more than returned, to know whether there are more
        )
        found = stores.certificates.list(wanted)
    return found[:limit], len(found) > limit


MOST_SHOWN = 100
"""Certificates that one look at a principal shows; short-lived ones are thousands a year."""


def find_with_certificates(
    services: Services, name: str, *, kind: PrincipalKind
) -> tuple[Principal, list[CertificateRecord], int]:
    """Return a principal, its newest certificates, oldest first, and the number of older ones.

    Raises:
        NotFound: `principal-unknown`.
        RequestRefused: `principal-kind`.
    """
    with services.work.read() as stores:
        principal = require_principal(stores, name, kind)
        count, newest = 0, deque[CertificateRecord](maxlen=MOST_SHOWN)
        for record in every_certificate(stores, principal.id):
            count += 1
            newest.append(record)
        return principal, list(newest), count - len(newest)
