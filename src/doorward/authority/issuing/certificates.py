"""The six steps of issuing a certificate for a claim; the package's docstring explains their order.

Not here: building the certificate (preparation), claims and entitlements (claims).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from doorward.audit.events import EventType
from doorward.authority.issuing.claims import Claim, Entitlement
from doorward.authority.issuing.preparation import (
    IntendedCertificate,
    SigningContext,
    load_signing_context,
    new_certificate_event,
    new_refusal_event,
    prepare_certificate,
)
from doorward.authority.issuing.registration import require_active
from doorward.authority.status.ocsp_responses import replace_responses
from doorward.core.certificate import CertificateFacts, CertificateState
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.pki.csr import CertificationRequest, parse_csr
from doorward.pki.minting import sign
from doorward.stores.prerequisites import require_authority
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


def issue(services: Services, request: bytes | Callable[[], bytes], claim: Claim) -> Issued:
    """Issue a certificate.

    Args:
        services: the ports of this process.
        request: PKCS#10, PEM or DER, at most 16 KiB; only its key is used, the names come from the entitlement. Or a
            function that makes it, with a new key: it is called only if the claim is good, because a key costs much work.
        claim: the requester's claim; it is used up with the certificate.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`; the claim can be used again.
        RequestRefused: as the claim refuses; `principal-suspended`, `principal-removed`; `certificate-refused`:
            lint found an error, or the entitlement changed in between; `key-used-before`: a revoked certificate had the
            principal's key.
        NotFound: `not-founded`, `principal-unknown`, and as the claim raises.
        Unavailable: `keys-unavailable`, `authority-replaced`, or the database cannot be reached: nothing was issued.
    """
    try:
        made = request if isinstance(request, bytes) else _make_request(services, request, claim)
        return issue_together(services, [(made, claim)])[0]
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([new_refusal_event(services, refusal, claim)])
        raise


def _make_request(services: Services, make: Callable[[], bytes], claim: Claim) -> bytes:
    with services.work.read() as stores:
        claim.examine(stores, services.clock.now())
    return make()


def issue_together(services: Services, wanted: Sequence[tuple[bytes, Claim]]) -> list[Issued]:
    """Issue several certificates with as many transactions as one needs: all of them, or none.

    Args:
        services: the ports of this process.
        wanted: the request and the claim of each certificate, as for `issue`; no claim twice.

    Returns:
        The certificates in the same order, durably recorded.

    Raises:
        DoorwardError: as `issue`, for the first claim that is refused. No refusal is recorded as an event: the caller
            issues them one by one, and so finds which one is refused. Some intents may be left, as after a crash.
    """
    parsed = [parse_csr(request) for request, _ in wanted]
    claims = [claim for _, claim in wanted]
    for _ in range(_TRIES):
        with suppress(_AuthorityReplacedError):
            return _issue_all(services, parsed, claims)
    raise Unavailable(
        "authority-replaced",
        "another issuing authority took over while the certificate was made; nothing was issued",
        hint="send the request again",
    )


class _AuthorityReplacedError(Exception):
    """Another authority issues since the certificates were prepared; nothing was recorded."""


def _issue_all(
    services: Services, parsed: Sequence[CertificationRequest], claims: Sequence[Claim]
) -> list[Issued]:
    # 1. examine the claims, 2. prepare
    with services.work.read() as stores:
        entitlements = [claim.examine(stores, services.clock.now()) for claim in claims]
        context = load_signing_context(services, stores)
    drafts = [
        _Draft(claim, entitlement, prepare_certificate(services, context, entitlement, request, claim))
        for request, claim, entitlement in zip(parsed, claims, entitlements, strict=True)
    ]
    # 3. record the intents
    with services.work.change() as stores:
        if require_authority(stores, AuthorityKind.ISSUING).id != context.authority.id:
            raise _AuthorityReplacedError  # from here on only the new one may issue (authority.rollover)
        for draft in drafts:
            _record_intent(services, stores, draft)
    # 4. sign, 5. record the certificates
    signed = [_sign(draft, context) for draft in drafts]
    with services.work.change() as stores:
        numbers = [_record_issued(services, stores, one) for one in signed]
    # 6. return them
    return [
        Issued(record=one.record, chain_der=(one.record.der, *context.chain), seq=seq)
        for one, seq in zip(signed, numbers, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A certificate that is not signed yet."""

    claim: Claim
    entitlement: Entitlement
    intended: IntendedCertificate


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed certificate that is not valid yet, and its OCSP responses."""

    draft: _Draft
    record: CertificateRecord
    facts: CertificateFacts
    responses: Sequence[OcspRecord]


def _record_intent(services: Services, stores: Stores, draft: _Draft) -> None:
    """Step 3, in the caller's transaction."""
    claim, intended = draft.claim, draft.intended
    _require_same(claim.examine(stores, services.clock.now()), draft.entitlement)
    claim.redeem(services, stores, intended.record)
    _refuse_revoked_key(stores, intended.record)
    stores.certificates.add_intended(intended.record)
    stores.outbox.add(new_certificate_event(services, EventType.CERTIFICATE_INTENDED, intended))


def _sign(draft: _Draft, context: SigningContext) -> _Signed:
    """Step 4."""
    minted = sign(draft.intended.prepared, context.key)
    record = replace(
        draft.intended.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
    )
    silent = draft.intended.prepared.request.profile.no_revocation  # nothing is published about it (RFC 9608)
    responses = context.signer.sign(record, record.created_at) if context.signer and not silent else ()
    return _Signed(draft, record, minted.facts, responses)


def _record_issued(services: Services, stores: Stores, signed: _Signed) -> int:
    """Step 5, in the caller's transaction; return the number in the change sequence."""
    draft, record = signed.draft, signed.record
    authority = stores.authorities.get(record.authority_id)
    if authority is None or authority.retired_at is not None:
        raise RequestRefused(
            "certificate-refused",
            "the issuing authority was retired while the certificate was made",
            hint="send the request again",
        )
    if draft.entitlement.principal_id:
        # If the principal was removed after the intent, its certificates were revoked then, but this one
        # was not valid yet and so not among them.
        require_active(stores, draft.entitlement.principal_id)
    draft.claim.settle(services, stores, record)
    _refuse_revoked_key(stores, record)
    if draft.entitlement.replaces:
        stores.outbox.add(new_certificate_event(services, EventType.CERTIFICATE_RENEWED, draft.intended))
    stores.certificates.complete(record.id, sha256=record.sha256, der=record.der)
    if not draft.intended.prepared.request.profile.no_revocation:
        replace_responses(stores, record.id, signed.responses, record.created_at)
    issued = EventType.CERTIFICATE_ISSUED
    stores.outbox.add(new_certificate_event(services, issued, draft.intended, facts=signed.facts))
    return stores.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())


def _refuse_revoked_key(stores: Stores, record: CertificateRecord) -> None:
    """Refuse a principal's key if a certificate with it is revoked: a thief may have it, under this or another name.

    A renewal refuses every key that had a certificate (renewal).
    """
    if record.principal_id and stores.certificates.has_revoked_key(record.spki_sha256):
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
