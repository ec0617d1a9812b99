"""Enrolling factors: adding one, or replacing a password.

The `change_rules` are checked at the beginning, and again in the transaction that adds the factor. A person who enrols a
factor also shows it: a passkey verifies its user, a code proves the app, a password is typed. Therefore the caller may
note the factor as shown in the session (`directory.portal_sessions.note_factor`).
Replacing a password ends all sessions of the person, also at the portal.

Not here: removing (`removing`), checking a factor (`checking`, `passkeys`).
Standard: NIST SP 800-63B-4 section 4.1 (binding of authenticators), OWASP ASVS 5.0 sections 6.4 and 7.4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.directory.callers import Caller
from doorward.directory.factors.change_rules import (
    kinds_of,
    require_fresh,
    require_owner,
    require_ticket_or_check,
)
from doorward.directory.factors.checking import totp_context
from doorward.directory.factors.context import FactorContext
from doorward.directory.factors.enrolment_tickets import refuse_closed, use_ticket
from doorward.directory.factors.passkeys import PasskeyCeremony, refuse_over, user_handle
from doorward.directory.factors.pending import Purpose
from doorward.directory.factors.removing import clean_name
from doorward.directory.sealing import seal
from doorward.directory.session_ending import end_sessions
from doorward.factors import password, recovery, totp, webauthn
from doorward.stores.events import new_event
from doorward.stores.factor_records import EnrolmentTicket, FactorRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.wire.base64url import parse_base64url, render_base64url

MAX_PASSKEYS, MAX_TOTP_APPS = 20, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpOffer:
    """A secret for an authenticator app, not yet enrolled; the browser sends `id` with the first code."""

    id: str
    secret: str = field(repr=False)
    uri: str = field(repr=False)


def set_password(
    context: FactorContext, caller: Caller, text: str, *, shown: ShownFactors, token: str = ""
) -> FactorRecord:
    """Enrol a password, or replace the existing one.

    Args:
        context: the dependencies.
        caller: the person.
        text: the password as the person typed it.
        shown: the factors shown in the session at the portal.
        token: the token of an administrator's link; empty if there is none.

    Raises:
        RequestRefused: as `change_rules.require_ticket_or_check` and `factors.password.require_choosable`.
        Unavailable: `too-busy`.
    """
    services = context.services
    now = services.clock.now()
    with services.work.read() as stores:
        require_ticket_or_check(stores, caller, FactorKind.PASSWORD, shown=shown, token=token, now=now)
        person = require_owner(stores, caller)
        applications = [one.name for one in stores.applications.list()]
    known = (person.name, *person.display_name.split(), *context.known_words, *applications)
    salt = services.random.token(password.SALT_BYTES)

    def choose() -> str:
        secret = password.require_choosable(text, known=known, breached=context.breached)
        return password.hash_password(secret, salt, context.cost)

    # Within the budget, because a hostile password can also make the strength estimate slow.
    hashed = context.budget.run(caller.source, choose)
    record = _new(context, caller, FactorKind.PASSWORD, hashed.encode("ascii"), now)
    with services.work.change() as stores:
        ticket = require_ticket_or_check(
            stores, caller, FactorKind.PASSWORD, shown=shown, token=token, now=now
        )
        former = _of_kind(stores, caller, FactorKind.PASSWORD)
        for one in former:
            stores.factors.remove(one.id)
        _add(context, stores, caller, [record], ticket)
        if former:
            why = "factor-replaced"
            end_sessions(
                services, stores, caller.principal_id, reason=why, actor=caller.principal_id, now=now
            )
            stores.changes.note(ChangeKind.PRINCIPAL, caller.principal_id, now)
    return record


def begin_totp(context: FactorContext, caller: Caller, *, shown: ShownFactors, token: str = "") -> TotpOffer:
    """Offer a secret for an authenticator app; it is enrolled by `finish_totp`.

    Raises:
        RequestRefused: as `change_rules.require_ticket_or_check`; `factors-full`.
    """
    services = context.services
    now = services.clock.now()
    with services.work.read() as stores:
        require_ticket_or_check(stores, caller, FactorKind.TOTP, shown=shown, token=token, now=now)
        _require_below_limit(_of_kind(stores, caller, FactorKind.TOTP), MAX_TOTP_APPS)
    secret = services.random.token(totp.SECRET_BYTES)
    offer_id = context.pending.put(services.random, caller.certificate_id, Purpose.ENROL_TOTP, secret, now)
    uri = totp.render_otpauth(secret, issuer=context.party.name, account=caller.name)
    return TotpOffer(id=offer_id, secret=totp.render_secret(secret), uri=uri)


def finish_totp(
    context: FactorContext,
    caller: Caller,
    offer_id: str,
    code: str,
    *,
    name: str,
    shown: ShownFactors,
    token: str = "",
) -> FactorRecord:
    """Enrol the app of an offer if its code is correct. After a wrong code the person may try again within five minutes.

    Raises:
        RequestRefused: `question-over`, `totp-code-wrong`; as `begin_totp`.
    """
    services = context.services
    now = services.clock.now()
    secret = context.pending.look(offer_id, caller.certificate_id, Purpose.ENROL_TOTP, now)
    if secret is None:
        raise refuse_over()
    verdict = totp.check_totp(secret, code, now=now, last_step=0)
    if not verdict.good:
        raise RequestRefused(
            "totp-code-wrong",
            "this is not the code that the app shows now",
            hint="type the next code; if no code is accepted, correct the clock of the device",
        )
    record = _new(
        context, caller, FactorKind.TOTP, secret, now, name=name, counter=verdict.require(), sealed=True
    )
    with services.work.change() as stores:
        ticket = require_ticket_or_check(stores, caller, FactorKind.TOTP, shown=shown, token=token, now=now)
        _require_below_limit(_of_kind(stores, caller, FactorKind.TOTP), MAX_TOTP_APPS)
        if context.pending.take(offer_id, caller.certificate_id, Purpose.ENROL_TOTP, now) is None:
            raise refuse_over()  # the form was sent twice at once
        _add(context, stores, caller, [record], ticket)
    return record


def begin_passkey(
    context: FactorContext, caller: Caller, *, shown: ShownFactors, token: str = ""
) -> PasskeyCeremony:
    """Ask the browser to make a passkey; it is enrolled by `finish_passkey`.

    Raises:
        RequestRefused: as `change_rules.require_ticket_or_check`; `factors-full`.
    """
    services = context.services
    now = services.clock.now()
    with services.work.read() as stores:
        require_ticket_or_check(stores, caller, FactorKind.WEBAUTHN, shown=shown, token=token, now=now)
        person = require_owner(stores, caller)
        enrolled = _of_kind(stores, caller, FactorKind.WEBAUTHN)
        _require_below_limit(enrolled, MAX_PASSKEYS)
    challenge = services.random.token(webauthn.CHALLENGE_BYTES)
    question_id = context.pending.put(
        services.random, caller.certificate_id, Purpose.ENROL_PASSKEY, challenge, now
    )
    options = webauthn.build_registration_options(
        context.party,
        user_handle=user_handle(caller.principal_id),
        user_name=person.name,
        display_name=person.display_name,
        challenge=challenge,
        exclude=[
            parse_base64url(one.credential_id, code="passkey-malformed", what="an id") for one in enrolled
        ],
    )
    return PasskeyCeremony(id=question_id, options=options)


def finish_passkey(
    context: FactorContext,
    caller: Caller,
    question_id: str,
    answer: str,
    *,
    name: str,
    shown: ShownFactors,
    token: str = "",
) -> FactorRecord:
    """Enrol the passkey that the browser made.

    Raises:
        MalformedInput: `webauthn-malformed`.
        RequestRefused: `question-over`, `passkey-unusable`, `factor-duplicate`; as `begin_passkey`.
    """
    services = context.services
    now = services.clock.now()
    challenge = context.pending.take(question_id, caller.certificate_id, Purpose.ENROL_PASSKEY, now)
    if challenge is None:
        raise refuse_over()
    verdict = webauthn.check_registration(webauthn.parse_registration(answer), context.party, challenge)
    if not verdict.good:
        raise RequestRefused(
            "passkey-unusable",
            "this passkey cannot be used here",
            hint="use a passkey that asks for a fingerprint, a face or a PIN, and create it on this page",
            reasons=", ".join(fault.value for fault in verdict.faults),
        )
    passkey, counter = verdict.require()
    record = _new(
        context,
        caller,
        FactorKind.WEBAUTHN,
        webauthn.render_passkey(passkey),
        now,
        name=name,
        counter=counter,
        credential_id=render_base64url(passkey.credential_id),
    )
    with services.work.change() as stores:
        ticket = require_ticket_or_check(
            stores, caller, FactorKind.WEBAUTHN, shown=shown, token=token, now=now
        )
        _require_below_limit(_of_kind(stores, caller, FactorKind.WEBAUTHN), MAX_PASSKEYS)
        _add(context, stores, caller, [record], ticket)
    return record


def make_recovery_codes(context: FactorContext, caller: Caller, *, shown: ShownFactors) -> tuple[str, ...]:
    """Return ten new recovery codes, to be shown once; earlier codes are removed.

    An enrolment ticket is not enough: a person needs a first factor before recovery codes. The counter of a code stores the
    strength of the person's strongest factor: with a code the person cannot enrol a stronger factor.

    Raises:
        RequestRefused: `enrolment-closed`, `factor-check-needed`, as `change_rules.require_fresh`.
    """
    services = context.services
    now = services.clock.now()
    codes = recovery.build_recovery_codes(services.random.token(recovery.COUNT * recovery.CODE_BYTES))
    with services.work.change() as stores:
        enrolled = kinds_of(stores, require_owner(stores, caller).id)
        if not enrolled:
            raise refuse_closed()
        require_fresh(enrolled, shown, now)
        strength = max(kind.strength for kind in enrolled)
        records = [
            _new(
                context,
                caller,
                FactorKind.RECOVERY,
                recovery.hash_recovery_code(code) or b"",
                now,
                counter=strength,
            )
            for code in codes
        ]
        for former in _of_kind(stores, caller, FactorKind.RECOVERY):
            stores.factors.remove(former.id)
        _add(context, stores, caller, records, None)
    return codes


def _new(
    context: FactorContext,
    caller: Caller,
    kind: FactorKind,
    secret: bytes,
    now: datetime,
    *,
    name: str = "",
    counter: int = 0,
    credential_id: str = "",
    sealed: bool = False,
) -> FactorRecord:
    factor_id = context.services.new_id("fct")
    if sealed:
        secret = seal(context.services, secret, context=totp_context(factor_id))
    return FactorRecord(
        id=factor_id,
        tenant=TENANT,
        principal_id=caller.principal_id,
        kind=kind,
        name=clean_name(name),
        secret=secret,
        credential_id=credential_id,
        counter=counter,
        rp_id=context.party.id if kind is FactorKind.WEBAUTHN else "",
        created_at=now,
    )


def _add(
    context: FactorContext,
    stores: Stores,
    caller: Caller,
    records: Sequence[FactorRecord],
    ticket: EnrolmentTicket | None,
) -> None:
    """Mark the ticket as used, add the factors, and write the event."""
    first = records[0]
    if ticket is not None:
        use_ticket(stores, ticket, first.created_at)
    for record in records:
        stores.factors.add(record)
    event = new_event(
        context.services,
        EventType.FACTOR_ENROLLED,
        actor=caller.principal_id,
        data={
            "principal": caller.principal_id,
            "factor": first.id,
            "kind": first.kind.value,
            "certificate": caller.certificate_id,
            "enrolment": ticket.id if ticket else "",
            "number": len(records),
        },
        personal={"name": caller.name, "source": caller.source},
        at=first.created_at,
    )
    stores.outbox.add(event)


def _of_kind(stores: Stores, caller: Caller, kind: FactorKind) -> list[FactorRecord]:
    return [one for one in stores.factors.of_principal(caller.principal_id) if one.kind is kind]


def _require_below_limit(enrolled: Sequence[FactorRecord], limit: int) -> None:
    if len(enrolled) >= limit:
        raise RequestRefused(
            "factors-full",
            f"you have {len(enrolled)} factors of this kind, and the limit is {limit}",
            hint="remove one that you do not use",
        )
