"""Notices to holders of certificates of an issuing authority that is being replaced: renew by a date.

A person renews by hand, and is told at once. The agent of a device or service renews by itself at its moment of the rollover's
window, and an EST client renews at its own time; they are told about when the window is over and they have not renewed. There
is one notice for each certificate, rollover and channel.

Not here: the notices themselves (notice_planning), when a program is asked to renew (`authority.rollover.schedule`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from doorward.core.entities import PrincipalKind
from doorward.stores.notice_protocols import Notice
from doorward.stores.prerequisites import replaced_issuer
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord

ROLLOVER_PREFIX = "rol_"
FAR = timedelta(days=36_500)
"""Every certificate ends before that."""


def find_renew_by(stores: Stores, record: CertificateRecord) -> datetime | None:
    """Return the end of the window in which a rollover wants this certificate to be renewed; None if none does."""
    rollover = stores.rollovers.open()
    if rollover is None or record.authority_id != replaced_issuer(stores):
        return None
    return rollover.moved_at + rollover.window


def is_told(stores: Stores, record: CertificateRecord, now: datetime) -> bool:
    """Return whether the holder is told now that its certificate must be renewed because of a rollover."""
    by = find_renew_by(stores, record)
    holder = stores.directory.get(record.principal_id)
    if by is None or holder is None:
        return False
    return holder.kind is PrincipalKind.PERSON or now >= by


def rollover_of(notice: Notice) -> str:
    """Return the id of the rollover that a notice is about; empty if it is about the end of a certificate."""
    last = notice.mark.rpartition(":")[2]
    return last if last.startswith(ROLLOVER_PREFIX) else ""
