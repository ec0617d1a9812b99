"""The six steps of issuing, by whichever claim; see the package for the order's reasons.

Not here: what a certificate will say (drafts), and by which right it is asked for (claims).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from doorward.audit.events import EventType
from doorward.authority.issuing.claims import Claim, Right
from doorward.authority.issuing.drafts import draft, load_press, write_draft_event, write_refusal_event
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
            right = claim.examine(stores, services.clock.now())
            press = load_press(services, stores)
        drafted = draft(services, press, right, parsed, claim)
        # 3. the intent
        with services.work.change() as stores:
            _require_same(claim.examine(stores, services.clock.now()), right)
            claim.redeem(services, stores, drafted.record)
            stores.certificates.add_intended(drafted.record)
            stores.outbox.add(write_draft_event(services, EventType.CERTIFICATE_INTENDED, drafted))
        # 4. sign
        minted = sign(drafted.prepared, press.key)
        # 5. the record
        record = replace(
            drafted.record, state=CertificateState.VALID, sha256=minted.facts.sha256, der=minted.der
        )
        answers = press.signer.sign(record, record.created_at) if press.signer else ()
        with services.work.change() as stores:
            if right.principal_id:
                # It may have been removed since the intent: its certificates were revoked then, and this
                # one was not among them yet.
                require_active(stores, right.principal_id)
            claim.settle(services, stores, record)
            if right.replaces:
                stores.outbox.add(write_draft_event(services, EventType.CERTIFICATE_RENEWED, drafted))
            stores.certificates.complete(record.id, sha256=record.sha256, der=record.der)
            replace_answers(stores, record.id, answers, record.created_at)
            issued = EventType.CERTIFICATE_ISSUED
            stores.outbox.add(write_draft_event(services, issued, drafted, facts=minted.facts))
            seq = stores.changes.note(ChangeKind.CERTIFICATE, record.id, services.clock.now())
    except (MalformedInput, RequestRefused) as refusal:
        services.work.record([write_refusal_event(services, refusal, claim)])
        raise
    # 6. hand out
    return Issued(record=record, chain_der=(record.der, press.authority.der), seq=seq)


def _require_same(now: Right, drafted: Right) -> None:
    """Refuse to sign what another right was drafted for: part of it may have been withdrawn meanwhile."""
    if now != drafted:
        raise RequestRefused(
            "certificate-refused",
            "what the certificate may say changed while it was made",
            hint="send the request again",
        )
