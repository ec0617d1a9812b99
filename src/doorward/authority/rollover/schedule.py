"""When a certificate is issued again because of a rollover, and the end of its chain.

The certificates are spread evenly over a window, each at a moment that only its id and the rollover decide: a program that
asks twice gets the same answer, and a fleet does not come at once.

Not here: renewal at two thirds of life (`pki.lifecycle`), what is missing (progress).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from doorward.core.certificate import CertificateState
from doorward.core.spread import fraction_of
from doorward.stores.authority_protocols import RolloverRecord
from doorward.stores.prerequisites import replaced_issuer
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord

DEFAULT_WINDOW = timedelta(hours=24)
LONGEST_WINDOW = timedelta(days=90)
MOST_PER_MINUTE = 600
"""Certificates that are issued again in a minute, on average: a window that is too short for this becomes longer.
`doorward serve` signs more than ten times as many."""


def choose_window(wanted: timedelta, certificates: int) -> timedelta:
    """Return the window over which so many certificates are issued again: `wanted`, or longer if they are many."""
    return max(wanted, timedelta(minutes=certificates / MOST_PER_MINUTE))


def must_renew(stores: Stores, record: CertificateRecord, now: datetime) -> datetime | None:  # noqa: ARG001  a later rule may need it
    """Return when a certificate should be renewed although it is not due yet; None if nothing asks for it.

    Args:
        stores: a snapshot.
        record: one of our certificates.
        now: aware, UTC.

    Returns:
        A moment, which may be over already.
    """
    if record.state is not CertificateState.VALID:
        return None
    early = _before_chain_ends(stores, record)
    rollover = stores.rollovers.open()
    if rollover is not None and record.authority_id == replaced_issuer(stores):
        moment = spread(rollover, record.id)
        return moment if early is None else min(moment, early)
    return early


def spread(rollover: RolloverRecord, certificate_id: str) -> datetime:
    """Return the moment within the window at which a certificate is issued again."""
    return rollover.moved_at + rollover.window * fraction_of(f"{rollover.id} {certificate_id}")


def chain_end(stores: Stores, record: CertificateRecord) -> datetime:
    """Return the earliest end in the chain of a certificate: its own, or that of an authority above it."""
    ends, above = [record.not_after], stores.authorities.get(record.authority_id)
    while above is not None:
        ends.append(above.not_after)
        above = stores.authorities.get(above.issuer_id) if above.issuer_id else None
    return min(ends)


def _before_chain_ends(stores: Stores, record: CertificateRecord) -> datetime | None:
    """Return two thirds of the life of the chain if an authority in it ends before the certificate; otherwise None."""
    end = chain_end(stores, record)
    return None if end >= record.not_after else record.not_before + (end - record.not_before) * 2 / 3
