"""Whether a certificate is within its dates: one rule for every judge and for every deadline derived from it.

A certificate is valid from notBefore through notAfter, both included (RFC 5280 section 4.1.2.5), and both are whole
seconds (4.1.2.5.1, 4.1.2.5.2). So the whole second that notAfter names is still valid, and the certificate ends when
the next second begins. OpenSSL and BoringSSL, and so Envoy, count the same way. A comparison with notAfter itself
would refuse at 12:00:00.5 a certificate that they accept.

Not here: how long CRLs and OCSP responses may be used (revocation.status).
Standard: RFC 5280 section 4.1.2.5.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SECOND = timedelta(seconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)


def ends_at(not_after: datetime) -> datetime:
    """Return the first time at which a certificate with this notAfter is no longer valid.

    99991231235959Z means that it never ends (section 4.1.2.5).
    """
    try:
        return not_after + _SECOND
    except OverflowError:
        return _FOREVER


def has_begun(not_before: datetime, now: datetime) -> bool:
    """Return whether now is not before this notBefore."""
    return now >= not_before


def has_ended(not_after: datetime, now: datetime) -> bool:
    """Return whether a certificate with this notAfter is no longer valid."""
    return now >= ends_at(not_after)
