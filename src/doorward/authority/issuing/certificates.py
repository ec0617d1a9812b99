"""The six steps of issuing, by whichever claim; see the package for the order's reasons.

Not here: what a certificate will say (drafts), and by which right it is asked for (claims).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from doorward.audit.events import EventType
from doorward.authority.issuing.claims import Claim, Entitlement
from doorward.authority.issuing.preparation import (
    load_signing_context,
    prepare_certificate,
    write_certificate_event,
    write_refusal_event,
)
from doorward.authority.issuing.registration import require_active
from doorward.authority.status.answers import replace_answers
from doorward.core.certificate import CertificateState
from doorward.core.errors import MalformedInput, RequestRefused
from doorward.pki.csr import parse_csr
from doorward.pki.minting import sign
from doorward.stores.records import CertificateRecord, ChangeKind
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is in the inventory and valid; `chain_der`: leaf first, without the root."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int


def issue(services: Services, request: bytes, claim: Claim) -> Issued:
    """Issue a certificate.

    Args:
        services: the ports of this process.
        request: PKCS#10, PEM or DER, at most 16 KiB; only its key counts, the names are what the right gives.
        claim: by which right; used up with the certificate.

    Returns:
        The certificate, durably recorded.

    Raises:
        MalformedInput: as `pki.csr.parse_csr`; the claim is as good as before.
        RequestRefused: as the claim refuses; `principal-suspended`, `principal-removed`; `certificate-refused`:
            lint, or the right changed meanwhile.
        NotFound: `not-founded`, `principal-unknown`, and as the claim raises.
        Unavailable: `keys-unavailable`, or the database is away: nothing was issued.
    """
    try:
        # 1. the rules, 2. prepare
        parsed = parse_csr(request)
        with services.work.read() as stores:
            entitlement = claim.examine(stores, services.clock.now())
            context = load_signing_context(services, stores)
        intended = prepare_certificate(services, context, entitlement, parsed, claim)
        # 3. the intent
        with services.work.change() as stores:
            _require_same(claim.examine(stores, services.clock.now()), entitlement)
            claim.redeem(services, stores, intended.record)
            stores.certificates.add_intended(intended.record)
            stores.outbox.add(write_certificate_event(services, EventType.CERTIFICATE_INTENDED, intended))
        # 4. sign
        minted = sign(intended.prepared, context.key)
        # 5. the record
        record = replace(
            intended.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
        )
        answers = context.signer.sign(record, record.created_at) if context.signer else ()
        with services.work.change() as stores:
            if entitlement.principal_id:
                # It may have been removed since the intent: its certificates were revoked then, and this
                # one was not among them yet.
                require_active(stores, entitlement.principal_id)
            claim.settle(services, stores, record)
            if entitlement.replaces:
                stores.outbox.add(write_certificate_event(services, EventType.CERTIFICATE_RENEWED, intended))
            stores.certificates.complete(record.id, sha256=record.sha256, der=record.der)
            replace_answers(stores, record.id, answers, record.created_at)
            issued = EventType.CERTIFICATE_ISSUED
            stores.outbox.add(write_certificate_event(services, issued, intended, facts=minted.facts))
            seq = stores.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([write_refusal_event(services, refusal, claim)])
        raise
    # 6. hand out
    return Issued(record=record, chain_der=(record.der, context.authority.der), seq=seq)


def _require_same(now: Entitlement, intended: Entitlement) -> None:
    """Refuse to sign what another right was intended for: part of it may have been withdrawn meanwhile."""
    if now != intended:
        raise RequestRefused(
            "certificate-refused",
            "what the certificate may say changed while it was made",
            hint="send the request again",
        )
