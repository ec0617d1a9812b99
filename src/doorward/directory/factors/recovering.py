"""After a good recovery code: remove the lost factors, and let the person enrol one again.

Not here: checking the code (`checking`), enrolling (`enrolling`).
Standard: NIST SP 800-63B-4 section 4.2 (account recovery).
"""

from __future__ import annotations

from datetime import datetime

from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors.enrolment_tickets import FIRST_LIFETIME, add_ticket, describe_ticket
from doorward.directory.factors.removing import record_removal
from doorward.directory.session_ending import end_sessions
from doorward.stores.factor_records import EnrolmentTicket, FactorRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services


def open_after_recovery(
    services: Services, stores: Stores, caller: Caller, code: FactorRecord, now: datetime
) -> EnrolmentTicket:
    """Remove the other factors, end all sessions, and add a ticket for this certificate, in the caller's transaction.

    Unused codes stay. The new factor may be at most as strong as the factor with which the code was made: otherwise a thief
    could turn a stolen password into a passkey with a code.
    """
    for factor in stores.factors.of_principal(caller.principal_id):
        if factor.kind is not FactorKind.RECOVERY and stores.factors.remove(factor.id):
            record_removal(services, stores, caller, factor, reason="recovery-code-used", now=now)
    end_sessions(
        services, stores, caller.principal_id, reason="factor-lost", actor=caller.principal_id, now=now
    )
    stores.changes.note(ChangeKind.PRINCIPAL, caller.principal_id, now)
    stores.enrolment_tickets.void_all(caller.principal_id, now)
    ticket = add_ticket(
        services,
        stores,
        caller.principal_id,
        now=now,
        lifetime=FIRST_LIFETIME,
        certificate_id=caller.certificate_id,
        strongest=strongest_allowed_by(code),
    )
    stores.outbox.add(describe_ticket(services, ticket, caller.name, caller.principal_id))
    return ticket


def strongest_allowed_by(code: FactorRecord) -> FactorKind:
    """Return the strongest kind of factor that a recovery code allows: its counter stores the strength."""
    return next(kind for kind in FactorKind if kind.strength == code.counter)
