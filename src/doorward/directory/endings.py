"""Certificates that end soon and were not renewed: reading only.

A certificate counts if it is valid, its holder is active, and no certificate was renewed from it. Certificates of gateways, which
renew them by themselves, and of partners' people are left out.
Not here: telling people about it (`directory.notice_planning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services

SOON = timedelta(days=14)
"""How long before its end a certificate that was not renewed is shown in `status`: agents renew devices of a year four months
before the end, and people of 90 days are told 30 days before."""

ENDED_LATELY = timedelta(days=30)
"""How long `status` shows certificates that ended without being renewed."""

LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingSummary:
    """Certificates that were not renewed: how many end soon, the first of them, and how many ended lately."""

    soon: int
    first: CertificateRecord | None
    ended: int


def list_ending(
    services: Services, within: timedelta, *, every: bool = False, after: str = "", limit: int = 100
) -> tuple[list[CertificateRecord], bool]:
    """Return certificates that end within a time from now, earliest first, and whether there are more.

    Args:
        services: the ports of this process.
        within: the time; more than ten years counts as ten years.
        every: also those that were renewed, and those of principals that are suspended.
        after: id of a certificate, to list only those that end later.
        limit: how many are returned at most.

    Raises:
        NotFound: `certificate-unknown`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        until = now + min(within, LONGEST)
        found = list(stores.endings.list(now, until, every=every, after=after, limit=limit + 1))
    return found[:limit], len(found) > limit


def summarise_endings(services: Services) -> EndingSummary:
    """Return what `status` shows."""
    now = services.clock.now()
    with services.work.read() as stores:
        endings = stores.endings
        first = endings.list(now, now + SOON, limit=1)
        return EndingSummary(
            soon=endings.count(now, now + SOON) if first else 0,
            first=first[0] if first else None,
            ended=endings.count(now - ENDED_LATELY, now),
        )
