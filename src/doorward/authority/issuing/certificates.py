"""The six steps of issuing a certificate for a claim; the package's docstring explains their order.

Not here: building the certificate (preparation), claims and entitlements (claims).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from doorward.audit.events import EventType
from doorward.authority.issuing.claims import Claim, Entitlement
from doorward.authority.issuing.preparation import (
    load_signing_context,
    new_certificate_event,
    new_refusal_event,
    prepare_certificate,
)
from doorward.authority.issuing.registration import require_active
from doorward.authority.status.ocsp_responses import replace_responses
from doorward.core.certificate import CertificateState
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.pki.csr import parse_csr
from doorward.pki.minting import sign
from doorward.stores.records import CertificateRecord, ChangeKind
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An issued certificate; `chain_der` is leaf first, without the root; `seq` is its number in the change sequence."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int


def issue(services: Services, request: bytes, claim: Claim) -> Issued:
    """Issue a certificate.

    Args:
        services: the ports of this process.
        request: PKCS#10, PEM or DER, at most 16 KiB; only its key is used, the names come from the entitlement.
        claim: the requester's claim; it is used up with the certificate.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`; the claim can be used again.
        RequestRefused: as the claim refuses; `principal-suspended`, `principal-removed`; `certificate-refused`:
            lint found an error, or the entitlement changed in between.
        NotFound: `not-founded`, `principal-unknown`, and as the claim raises.
        Unavailable: `keys-unavailable`, or the database cannot be reached: nothing was issued.
    """
    try:
        # 1. examine the claim, 2. prepare
        parsed = parse_csr(request)
        with services.work.read() as stores:
            entitlement = claim.examine(stores, services.clock.now())
            context = load_signing_context(services, stores)
        intended = prepare_certificate(services, context, entitlement, parsed, claim)
        # 3. record the intent
        with services.work.change() as stores:
            _require_same(claim.examine(stores, services.clock.now()), entitlement)
            claim.redeem(services, stores, intended.record)
            stores.certificates.add_intended(intended.record)
            stores.outbox.add(new_certificate_event(services, EventType.CERTIFICATE_INTENDED, intended))
        # 4. sign
        minted = sign(intended.prepared, context.key)
        # 5. record the certificate
        record = replace(
            intended.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
        )
        responses = context.signer.sign(record, record.created_at) if context.signer else ()
        with services.work.change() as stores:
            if entitlement.principal_id:
                # If the principal was removed after the intent, its certificates were revoked then, but this one
                # was not valid yet and so not among them.
                require_active(stores, entitlement.principal_id)
            claim.settle(services, stores, record)
            if entitlement.replaces:
                stores.outbox.add(new_certificate_event(services, EventType.CERTIFICATE_RENEWED, intended))
            stores.certificates.complete(record.id, sha256=record.sha256, der=record.der)
            replace_responses(stores, record.id, responses, record.created_at)
            issued = EventType.CERTIFICATE_ISSUED
            stores.outbox.add(new_certificate_event(services, issued, intended, facts=minted.facts))
            seq = stores.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([new_refusal_event(services, refusal, claim)])
        raise
    # 6. return it
    return Issued(record=record, chain_der=(record.der, context.authority.der), seq=seq)


def _require_same(now: Entitlement, before: Entitlement) -> None:
    """Refuse to sign if the entitlement changed since the certificate was prepared: a part may have been withdrawn."""
    if now != before:
        raise RequestRefused(
            "certificate-refused",
            "the allowed names or lifetime of this certificate changed while it was made",
            hint="send the request again",
        )
