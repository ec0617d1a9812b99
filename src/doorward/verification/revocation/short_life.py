"""Whether a certificate needs no proof of its status, because it is short-lived and no revocation information exists.

A missing address of a CRL is never a reason: any authority may forget it, and an attacker may leave it out. The issuer must
promise it by noRevAvail, the operator must have allowed it to this partner, and the certificate must be short-lived.
Not here: that it names no CRL and no OCSP responder beside noRevAvail, and is no CA (`path.conformance`).
Standard: RFC 9608 section 4.
"""

from __future__ import annotations

from datetime import timedelta

from doorward.verification.path.certificate import PathCertificate

BACKDATING = timedelta(hours=1)
"""How much longer the dates may be than the allowed life: authorities date a certificate back by up to an hour (Let's
Encrypt's does), because clocks differ."""


def needs_no_status(certificate: PathCertificate, longest: timedelta) -> bool:
    """Return whether the status of a certificate is not asked for.

    Args:
        certificate: an end entity certificate with a good path.
        longest: the longest life that the operator allows without revocation information; zero allows none.

    Standard: RFC 9608 section 4.
    """
    life = certificate.not_after - certificate.not_before
    return (
        certificate.no_rev_avail and not certificate.is_ca and bool(longest) and life <= longest + BACKDATING
    )
