"""The six steps of issuing for a batch of requests; the package's docstring explains their order.

Each request has an outcome of its own: a certificate, or its error. A claim that is not good is refused in step 1, and the
others go on. If a transaction of several requests fails later, it is rolled back and done again in two halves, until
the request that cannot be issued is alone: its error reaches no other request. If the database cannot be used, all fail.
Within a transaction the requests come one after the other, and each sees what those before it changed: of two requests
with one claim, the second finds the claim used up. In step 5 only requests with one holder or one key see each other's
certificate as valid (`_list_independent`).

Not here: the queue (certificates), building the certificate (preparation), claims and entitlements (claims).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from doorward.audit.events import Event, EventType
from doorward.authority.issuing.claims import Claim, Entitlement
from doorward.authority.issuing.preparation import (
    IntendedCertificate,
    SigningContext,
    load_signing_context,
    new_certificate_event,
    prepare_certificate,
)
from doorward.authority.issuing.registration import require_active
from doorward.authority.issuing.renewal import AlreadyRenewed
from doorward.authority.status.ocsp_responses import store_responses
from doorward.core.certificate import CertificateFacts, CertificateState
from doorward.core.errors import DoorwardError, RequestRefused, Unavailable
from doorward.pki.csr import CertificationRequest
from doorward.pki.minting import sign
from doorward.stores.prerequisites import require_authority, trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, CertificateRecord, ChangeKind, OcspRecord
from doorward.stores.services import Services

_TRIES = 3
"""A rollover moves the authority once or twice, so the second try succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An issued certificate; `chain_der` is leaf first, without the root; `seq` is its number in the change sequence.

    `is_new` is False if it was issued before for the same key, and is only returned again.
    """

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int
    is_new: bool = True


@dataclass(slots=True, eq=False)
class _Attempt:
    """One request on its way through the steps; if it has an outcome, it takes no further step.

    The other fields are results of steps: `entitlement` and `context` of step 1, `intended` of step 2, the others of step 4.
    """

    request: CertificationRequest
    claim: Claim
    outcome: Issued | Exception | None = None
    entitlement: Entitlement = field(init=False)
    context: SigningContext = field(init=False)
    intended: IntendedCertificate = field(init=False)
    record: CertificateRecord = field(init=False)
    facts: CertificateFacts = field(init=False)
    responses: Sequence[OcspRecord] = field(init=False)


class _AuthorityReplacedError(Exception):
    """Another authority issues since the certificates were prepared; no intent was recorded."""


_OF_ALL = (Unavailable, _AuthorityReplacedError)
"""What no single request causes."""

_Step: TypeAlias = Callable[[Services, Sequence[_Attempt]], None]


def take_steps(
    services: Services, wanted: Sequence[tuple[CertificationRequest, Claim]]
) -> list[Issued | Exception]:
    """Issue a certificate for each request and its claim; return each certificate or error, in the same order."""
    attempts = [_Attempt(request, claim) for request, claim in wanted]
    for _ in range(_TRIES):
        for step in (_examine, _prepare, _record_intents, _sign, _record_issued):
            _take(step, services, [one for one in attempts if one.outcome is None])
        for one in attempts:
            if isinstance(one.outcome, _AuthorityReplacedError):
                one.outcome = None
    return [one.outcome or _replaced() for one in attempts]


def _replaced() -> DoorwardError:
    return Unavailable(
        "authority-replaced",
        "another issuing authority took over while the certificate was made; nothing was issued",
        hint="send the request again",
    )


def _take(step: _Step, services: Services, attempts: Sequence[_Attempt]) -> None:
    """Take a step for all; if it fails, take it for each half. A transaction that fails leaves nothing behind."""
    if not attempts:
        return
    try:
        step(services, attempts)
    except Exception as fault:  # noqa: BLE001  # it becomes the outcome
        if len(attempts) == 1 or isinstance(fault, _OF_ALL):
            for one in attempts:
                one.outcome = fault
            return
        middle = len(attempts) // 2
        for half in (attempts[:middle], attempts[middle:]):
            _take(step, services, half)


def _examine(services: Services, attempts: Sequence[_Attempt]) -> None:
    """Step 1."""
    with services.work.read() as stores:
        _read_holders(stores, attempts)
        good = [one for one in attempts if _is_good(services, stores, one)]
        if good:
            context = load_signing_context(services, stores)
            for one in good:
                one.context = context


def _is_good(services: Services, stores: Stores, one: _Attempt) -> bool:
    """Return whether the claim is good; otherwise the refusal is the outcome."""
    try:
        one.entitlement = one.claim.examine(stores, services.clock.now())
    except (DoorwardError, AlreadyRenewed) as refusal:
        one.outcome = refusal
        return False
    return True


def _prepare(services: Services, attempts: Sequence[_Attempt]) -> None:
    """Step 2."""
    now = services.clock.now()
    for one in attempts:
        try:
            one.intended = prepare_certificate(
                services, one.context, one.entitlement, one.request, one.claim, now=now
            )
        except Exception as fault:  # noqa: BLE001  # it is the error of this request
            one.outcome = fault


def _record_intents(services: Services, attempts: Sequence[_Attempt]) -> None:
    """Step 3."""
    with services.work.change() as stores:
        current = require_authority(stores, AuthorityKind.ISSUING).id
        if any(one.context.authority.id != current for one in attempts):
            raise _AuthorityReplacedError  # from here on only the new one may issue (authority.rollover)
        now = services.clock.now()
        _read_holders(stores, attempts)
        intents = [one.intended.record for one in attempts]
        for one in attempts:
            _require_same(one.claim.examine(stores, now), one.entitlement)
            one.claim.redeem(services, stores, one.intended.record)
        _refuse_revoked_keys(stores, intents)
        stores.certificates.add_intended(*intents)
        intended = EventType.CERTIFICATE_INTENDED
        stores.outbox.add_all(
            [new_certificate_event(services, intended, one.intended, at=now) for one in attempts]
        )


def _sign(services: Services, attempts: Sequence[_Attempt]) -> None:  # noqa: ARG001  a step
    """Step 4."""
    for one in attempts:
        try:
            minted = sign(one.intended.prepared, one.context.key)
            one.facts = minted.facts
            one.record = replace(
                one.intended.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
            )
            signer = None if _is_silent(one) else one.context.signer
            one.responses = signer.sign(one.record, one.record.created_at) if signer else ()
        except Exception as fault:  # noqa: BLE001  # it is the error of this request; the key signs nothing twice
            one.outcome = fault


def _record_issued(services: Services, attempts: Sequence[_Attempt]) -> None:
    """Step 5, and step 6 after the commit."""
    with services.work.change() as stores:
        now = services.clock.now()
        trusted = {one.id for one in trusted_issuers(stores)}
        _read_holders(stores, attempts)
        for some in _list_independent(attempts):
            for one in some:
                _require_wanted(services, stores, one, trusted)
            made = [one.record for one in some]
            _refuse_revoked_keys(stores, made)
            stores.certificates.complete(*made)
        responses = {one.record.id: one.responses for one in attempts if not _is_silent(one)}
        store_responses(stores, responses, now)
        stores.outbox.add_all([event for one in attempts for event in _list_events(services, one, now)])
        numbers = stores.changes.note_all(ChangeKind.CERTIFICATE, [one.record.id for one in attempts], now)
    for one, number in zip(attempts, numbers, strict=True):
        chain = (one.record.der, *one.context.chain)
        one.outcome = Issued(record=one.record, chain_der=chain, seq=number)


def _require_wanted(services: Services, stores: Stores, one: _Attempt, trusted: set[str]) -> None:
    """Settle the claim, if nothing was withdrawn since the intent."""
    if one.record.authority_id not in trusted:
        raise RequestRefused(
            "certificate-refused",
            "the issuing authority was retired while the certificate was made",
            hint="send the request again",
        )
    if one.entitlement.principal_id:
        # If the principal was removed after the intent, its certificates were revoked then, but this one
        # was not valid yet and so not among them.
        require_active(stores, one.entitlement.principal_id)
    one.claim.settle(services, stores, one.record)


def _list_events(services: Services, one: _Attempt, at: datetime) -> list[Event]:
    kind = EventType.CERTIFICATE_ISSUED
    issued = new_certificate_event(services, kind, one.intended, at=at, facts=one.facts)
    if not one.entitlement.replaces:
        return [issued]
    return [new_certificate_event(services, EventType.CERTIFICATE_RENEWED, one.intended, at=at), issued]


def _is_silent(one: _Attempt) -> bool:
    """Return whether nothing is published about the certificate (RFC 9608)."""
    return one.intended.prepared.request.profile.no_revocation


def _read_holders(stores: Stores, attempts: Sequence[_Attempt]) -> None:
    """Read the holders of a batch at once: each of its claims looks one of them up, some more than once."""
    stores.directory.read_ahead({one.claim.holder for one in attempts})


def _list_independent(attempts: Sequence[_Attempt]) -> list[list[_Attempt]]:
    """Divide a batch, in its order, so that the requests of one part have different holders and different keys.

    If two have one holder (and perhaps one line) or one key, the second must find the first valid when it is settled.
    """
    parts: list[list[_Attempt]] = []
    seen: set[str] = set()
    for one in attempts:
        marks = {one.claim.holder, one.record.spki_sha256}
        if not parts or seen & marks:
            parts.append([])
            seen = set()
        parts[-1].append(one)
        seen |= marks
    return parts


def _refuse_revoked_keys(stores: Stores, records: Sequence[CertificateRecord]) -> None:
    """Refuse the keys of principals if a certificate with one of them is revoked: a thief may have it, under this or another name.

    A renewal refuses every key that had a certificate (renewal).
    """
    if stores.certificates.revoked_keys([one.spki_sha256 for one in records if one.principal_id]):
        raise RequestRefused(
            "key-used-before",
            "a certificate with this key was issued before, and is revoked",
            hint="make a new key",
        )


def _require_same(now: Entitlement, before: Entitlement) -> None:
    """Refuse to sign if the entitlement changed since the certificate was prepared: a part may have been withdrawn."""
    if now != before:
        raise RequestRefused(
            "certificate-refused",
            "the allowed names or lifetime of this certificate changed while it was made",
            hint="send the request again",
        )
