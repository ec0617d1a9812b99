"""Lines with two holders of keys: an older certificate of a line was to be renewed with another key.

The honest client renews the newest certificate of its line. If somebody asks with an older one and another key, then either the
device was copied, or the client lost its new key. Only an operator can tell which, so the request is refused and the
suspicion is recorded: one event for each line and hour, and a count beyond. By default nothing else happens, because the
thief of an old key must not be able to stop a device; the setting `hold_suspected_clones` also puts the newest certificate on
hold. It is the line that is held, not its holder: another certificate of the same device goes on working.

    suspect_clone   record a suspicion
    follow_line     move it to the new end of the line
    clear_clone     end it: an operator has decided
    find_suspicions return those of some certificates
    find_newest     return the newest certificate of a line

Not here: the refusal (issuing.renewal), `cert release` and `cert revoke` (authority.revocation).
Standard: docs/design/0078.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from doorward.audit.events import EventType, printable
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT
from doorward.stores.events import new_event
from doorward.stores.line_protocols import SuspectedClone
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services

EVENT_PERIOD = timedelta(hours=1)
"""One event of a line in this time; a broken client asks every few minutes for weeks."""

_LONGEST_LINE = 5000
"""Steps. Certificates of one hour that are renewed every 40 minutes make 1,100 steps in 30 days."""


def find_newest(stores: Stores, record: CertificateRecord) -> CertificateRecord:
    """Return the newest certificate of the line of this one; where a line branches, follow the newest branch."""
    for _ in range(_LONGEST_LINE):
        later = [one for one in stores.certificates.successors(record.id) if _was_issued(one)]
        if not later:
            break
        record = later[-1]
    return record


def suspect_clone(
    services: Services,
    stores: Stores,
    shown: CertificateRecord,
    *,
    near: CertificateRecord,
    actor: str,
    now: datetime,
) -> CertificateRecord:
    """Record in the caller's transaction that an older certificate was to be renewed with another key.

    Args:
        services: the ports of this process.
        stores: of that transaction.
        shown: the older certificate.
        near: from `find_newest` a moment ago, so that a long line is not followed while others wait to write.
        actor: who asked.
        now: aware, UTC.

    Returns:
        The newest certificate of the line.
    """
    newest = find_newest(stores, near)
    before = stores.suspected_clones.get(newest.id)
    after = _count(before, newest, shown, now)
    if before is None or now - before.told_at >= EVENT_PERIOD:
        event = new_event(
            services,
            EventType.CERTIFICATE_CLONE_SUSPECTED,
            actor=actor,
            at=now,
            data={
                "certificate": newest.id,
                "shown": shown.id,
                "principal": newest.principal_id,
                "number": after.untold,
            },
            personal={"name": printable(newest.subject_name)},
        )
        stores.outbox.add(event)
        after = replace(after, told_at=now, untold=0)
    stores.suspected_clones.save(after)
    return newest


def _count(
    before: SuspectedClone | None, newest: CertificateRecord, shown: CertificateRecord, now: datetime
) -> SuspectedClone:
    if before is None:
        return SuspectedClone(
            certificate_id=newest.id,
            tenant=TENANT,
            shown_id=shown.id,
            first_at=now,
            last_at=now,
            told_at=now,
            untold=1,
        )
    return replace(before, shown_id=shown.id, last_at=now, number=before.number + 1, untold=before.untold + 1)


def follow_line(stores: Stores, old_id: str, new_id: str) -> None:
    """Move the suspicion about a line, if there is one, to the certificate that was renewed from its newest one."""
    suspicion = stores.suspected_clones.get(old_id)
    if suspicion is not None:
        stores.suspected_clones.remove(old_id)
        stores.suspected_clones.save(replace(suspicion, certificate_id=new_id))


def clear_clone(
    services: Services, stores: Stores, record: CertificateRecord, *, actor: str, now: datetime
) -> bool:
    """End the suspicion about the line of this newest certificate, with its event; False if there is none."""
    if not stores.suspected_clones.remove(record.id):
        return False
    event = new_event(
        services,
        EventType.CERTIFICATE_CLONE_CLEARED,
        actor=actor,
        at=now,
        data={"certificate": record.id, "principal": record.principal_id},
        personal={"name": printable(record.subject_name)},
    )
    stores.outbox.add(event)
    return True


def find_suspicions(services: Services, certificate_ids: Iterable[str]) -> dict[str, SuspectedClone]:
    """Return the suspicions of which the newest certificate is one of these, by its id."""
    with services.work.read() as stores:
        found = {one: stores.suspected_clones.get(one) for one in certificate_ids}
    return {one: suspicion for one, suspicion in found.items() if suspicion is not None}


def _was_issued(record: CertificateRecord) -> bool:
    return record.state is not CertificateState.INTENDED
