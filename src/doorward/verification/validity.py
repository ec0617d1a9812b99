"""When a certificate is within its dates: one answer for every judge, and for every deadline that follows from it.

A certificate is valid from notBefore through notAfter, both included (RFC 5280 section 4.1.2.5), and both are whole
seconds (4.1.2.5.1, 4.1.2.5.2). So the second that notAfter names belongs to it as a whole, and it has ended when the
next one begins: this is how OpenSSL and BoringSSL, and so Envoy, count. A clock with parts of seconds that compared
with notAfter itself would refuse at 12:00:00.5 what they still take.

Not here: how long lists and OCSP answers may be used (revocation.status).
Standard: RFC 5280 section 4.1.2.5.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SECOND = timedelta(seconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)


def ends_at(not_after: datetime) -> datetime:
    """Return the first moment at which a certificate with this notAfter is no longer valid.

    99991231235959Z means no end (section 4.1.2.5): nothing lies beyond it.
    """
    try:
        return not_after + _SECOND
    except OverflowError:
        return _FOREVER


def has_begun(not_before: datetime, now: datetime) -> bool:
    """Return whether a certificate with this notBefore is valid by now, if it has not ended."""
    return now >= not_before


def has_ended(not_after: datetime, now: datetime) -> bool:
    """Return whether a certificate with this notAfter is no longer valid."""
    return now >= ends_at(not_after)
