"""WebAuthn ceremonies for a known caller: the options for the browser, and the check of its answer.

A challenge is valid for one answer with the same certificate, within five minutes.
Not here: enrolling (`enrolling`), the checks themselves (`factors.webauthn`), passkeys of people without a certificate
(`directory.passkey_renewal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from doorward.core.errors import RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors.checking import CheckedFactor, FactorJudgement, check
from doorward.directory.factors.context import FactorContext
from doorward.directory.factors.pending import Purpose
from doorward.factors import webauthn
from doorward.factors.verdict import FactorFault
from doorward.stores.factor_records import FactorRecord
from doorward.wire.base64url import parse_base64url, render_base64url


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyCeremony:
    """A WebAuthn ceremony that has begun: `options` for the browser, as JSON; the answer comes with `id`."""

    id: str
    options: dict[str, Any]


def user_handle(principal_id: str) -> bytes:
    """Return the user handle of a person: the id, which contains no personal data (WebAuthn section 14.6.1)."""
    return principal_id.encode("ascii")


def begin_check(context: FactorContext, caller: Caller) -> PasskeyCeremony:
    """Ask for one of the person's passkeys; the list is empty if there is none."""
    with context.services.work.read() as stores:
        kept = _usable(context, stores.factors.of_principal(caller.principal_id))
    return _ask(
        context,
        caller.certificate_id,
        Purpose.CHECK_PASSKEY,
        [parse_base64url(one.credential_id, code="passkey-malformed", what="an id") for one in kept],
    )


def check_passkey(context: FactorContext, caller: Caller, question_id: str, answer: str) -> CheckedFactor:
    """Check the answer to `begin_check`.

    Raises:
        MalformedInput: `webauthn-malformed`, `passkey-malformed`.
        RequestRefused: `question-over`.
    """
    challenge = _take(context, question_id, caller.certificate_id, Purpose.CHECK_PASSKEY)
    parsed = webauthn.parse_authentication(answer)

    def judge(kept: Sequence[FactorRecord]) -> FactorJudgement:
        name = render_base64url(parsed.credential_id)
        found = [one for one in _usable(context, kept) if one.credential_id == name]
        if not found:
            return FactorJudgement(faults=(FactorFault.CREDENTIAL,))
        return _judge(context, found[0], parsed, challenge)

    return check(context, caller, FactorKind.WEBAUTHN, judge)


def _judge(
    context: FactorContext,
    factor: FactorRecord,
    answer: webauthn.AuthenticationAnswer,
    challenge: bytes,
) -> FactorJudgement:
    verdict = webauthn.check_authentication(
        answer,
        context.party,
        challenge,
        passkey=webauthn.parse_passkey(factor.secret),
        counter=factor.counter,
        user_handle=user_handle(factor.principal_id),
    )
    if not verdict.good:
        return FactorJudgement(faults=verdict.faults)
    return FactorJudgement(factor=factor, counter=verdict.require())


def _usable(context: FactorContext, kept: Sequence[FactorRecord]) -> list[FactorRecord]:
    """Return the passkeys for the present host of the portal; a browser offers no others."""
    return [one for one in kept if one.kind is FactorKind.WEBAUTHN and one.rp_id == context.party.id]


def _ask(context: FactorContext, holder: str, purpose: Purpose, allow: Sequence[bytes]) -> PasskeyCeremony:
    services = context.services
    challenge = services.random.token(webauthn.CHALLENGE_BYTES)
    name = context.pending.put(services.random, holder, purpose, challenge, services.clock.now())
    options = webauthn.build_authentication_options(context.party, challenge=challenge, allow=allow)
    return PasskeyCeremony(id=name, options=options)


def _take(context: FactorContext, question_id: str, holder: str, purpose: Purpose) -> bytes:
    challenge = context.pending.take(question_id, holder, purpose, context.services.clock.now())
    if challenge is None:
        raise refuse_over()
    return challenge


def refuse_over() -> RequestRefused:
    """Return the error for an answer to an unknown or expired ceremony."""
    return RequestRefused(
        "question-over", "this page was open for too long, or was answered before", hint="load it again"
    )
