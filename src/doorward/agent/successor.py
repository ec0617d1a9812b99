"""What a renewed certificate must have in common with the one that it replaces.

A server that is wrong, or an administrator who changed a profile, must not take a working identity from a machine:
1. the same holder: subject and alternative names;
2. every purpose (extended key usage) that the old one has;
3. an end that is not before the old one's, except if enough time is left to renew once more.

Not here: the checks that every certificate must pass (`credential`).
Standard: RFC 5280 sections 4.1.2.6, 4.2.1.6 and 4.2.1.12.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from doorward.agent.credential import Credential
from doorward.core.errors import RequestRefused

SHORTEST_LEFT = timedelta(minutes=30)
"""The shortest lifetime that an authority can be set to is one hour: with half of it left, the next renewal is in time."""


def check_successor(new: Credential, old: Credential, now: datetime) -> None:
    """Compare a renewed certificate with the one that it replaces.

    Args:
        new: its checks as a certificate are done.
        old: in use.
        now: aware, UTC; the server's clock.

    Raises:
        RequestRefused: `renewal-differs`.
    """
    # 1. the holder
    if new.certificate.subject != old.certificate.subject:
        raise _differs("is for another holder: its subject differs")
    names = _names(new.certificate)
    if names is None or names != _names(old.certificate):
        raise _differs("is for another holder: its alternative names differ")
    # 2. the purposes
    lost = _purposes(old.certificate) - _purposes(new.certificate)
    if lost:
        raise _differs(f"lacks a purpose that the old one has: {', '.join(sorted(lost))}")
    # 3. the end
    end = new.dates[1]
    if end < old.dates[1] and end < now + SHORTEST_LEFT:
        raise _differs(
            f"ends at {end:%Y-%m-%d %H:%M}Z, before the old one, and too soon to be renewed in time"
        )


def _differs(why: str) -> RequestRefused:
    return RequestRefused(
        "renewal-differs",
        f"the new certificate {why}",
        hint="the old certificate is still in use; ask your administrator what was changed. If the new certificate is "
        "revoked, enrol with a new link and --force",
    )


def _names(certificate: x509.Certificate) -> frozenset[x509.GeneralName] | None:
    """Return the alternative names; None if they cannot be read."""
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return frozenset()
    except Exception:  # noqa: BLE001  two of them, or an extension that does not parse
        return None


def _purposes(certificate: x509.Certificate) -> set[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except Exception:  # noqa: BLE001  none, two of them, or an extension that does not parse
        return set()
    return {one.dotted_string for one in usage}
