"""What comes of a fetch: kept where it may be, or told.

1. The row, the partner's terms and its authorities are read anew: a fetch takes up to half a minute.
2. What came is judged (verification.revocation.acceptance); nothing is written while it is. All lists of one
   partner together have a limit: every gateway holds them in memory, in some five times their bytes.
3. What it says of certificates that are known is remembered (remembering). New evidence is stored with a number of the change sequence, about the partner, so that gateways take it
   up; a list that is the same as before, and 304, only move the next look.
4. A failure moves the next look too; what is at hand stays, until it ends by its own words. Every exception is
   a failure with a reason that is kept and shown, a fault of this program too (failing).
An event is written when it is news: another list, another word of a responder, another failure than the last.

Not here: fetching, and what the evidence says of anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from doorward.audit.events import EventType
from doorward.audit.values import MAX_INTEGER
from doorward.core.certificate import CertificateState
from doorward.core.errors import DoorwardError, RequestRefused, Unavailable
from doorward.core.ports import FetchResponse
from doorward.partners.evidence.failures import (
    is_unusable,
    next_try_after_success,
    note_failure,
    random_fraction,
    write_evidence_event,
)
from doorward.partners.evidence.leasing import FetchTask, certificate_and_issuer
from doorward.partners.evidence.recorded_revocations import (
    RevocationUpdate,
    update_from_answer,
    update_from_crl,
    update_from_row,
)
from doorward.partners.evidence.sources import CERTIFICATES_AT_ONCE
from doorward.partners.trust import find_issuer, parse_if_sound, trust_of
from doorward.stores.partner_records import (
    PARTNER_PROFILE,
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, ChangeKind
from doorward.stores.services import Services
from doorward.verification.partner import PartnerTrust
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.revocation.acceptance import AcceptedEvidence, accept_crl, accept_ocsp_response
from doorward.verification.revocation.crl import Crl
from doorward.verification.revocation.sources import may_serve
from doorward.verification.revocation.status import RevocationStatus, StatusFinding
from doorward.wire.pem_crl import decode_pem_crl

LISTS_BYTES = 128 * 1024 * 1024
"""Of all CRLs of one partner. A few under way at once may go beyond it, each by its own limit at most."""


LARGE_BYTES = 256 * 1024
"""A list of some thousand entries; what is larger is not stored while the disk is nearly full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResultContext:
    """What one outcome is judged with.

    Args:
        kept: the row as it is.
        partner: whose.
        authorities: its authorities.
        trust: what is made of both; None where they cannot be read.
        pair: the certificate that an OCSP answer is about, and its issuer.
        others: bytes of the partner's other CRLs.
    """

    kept: EvidenceRecord
    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    trust: PartnerTrust | None
    pair: tuple[PathCertificate, PathCertificate] | None
    others: int


def process_fetch_result(
    services: Services, task: FetchTask, outcome: FetchResponse | DoorwardError
) -> DoorwardError | None:
    """Take what came of one task, or the error that came of it.

    Nothing happens where the partner, or the row, is gone meanwhile, or another process was quicker.

    Returns:
        Why nothing was kept, for the log; None where something was, or nothing was to be.
    """
    now = services.clock.now()
    context = _load_context(services, task, now)
    if context is None:
        return None
    if (
        isinstance(outcome, FetchResponse)
        and outcome.body is not None
        and context.kept.kind is EvidenceKind.CRL
    ):
        outcome = replace(outcome, body=decode_pem_crl(outcome.body))
    if isinstance(outcome, DoorwardError):
        came = bool(outcome.context.get("came"))  # more than may be read, or in a form that is not read
        note_failure(services, context.kept, context.partner, outcome, now, unusable=came)
        return outcome
    try:
        taken = None if outcome.body is None else _judge(services, context, outcome.body, now)
    except DoorwardError as failure:
        note_failure(services, context.kept, context.partner, failure, now, unusable=is_unusable(failure))
        return failure
    etag = context.kept.etag if outcome.body is None else outcome.etag
    was_unusable = context.kept.unusable
    kept = replace(context.kept, etag=etag, fetched_at=now, failures=0, problem="", unusable=False)
    context = replace(context, kept=kept)
    if taken is None or outcome.body is None or _digest(outcome.body) == kept.sha256:
        at = next_try_after_success(now, context.partner.refresh, kept.next_update, random_fraction(services))
        with services.work.change() as stores:
            stores.evidence.reschedule(replace(kept, try_at=at))
            if was_unusable:
                stores.changes.note(ChangeKind.EVIDENCE, context.partner.id, now)
    else:
        _store(services, context, outcome.body, taken, now)
    return None


def _load_context(services: Services, task: FetchTask, now: datetime) -> _ResultContext | None:
    """Step 1."""
    row = task.evidence
    with services.work.read() as stores:
        kept = stores.evidence.get(row.partner_id, row.kind, row.source, row.about)
        partner = stores.partners.get(row.partner_id)
        if kept is None or partner is None or partner.removed_at is not None:
            return None
        pair = certificate_and_issuer(stores, partner, row.about, now) if row.about else None
        authorities = tuple(stores.partners.authorities(partner.id))
        others = stores.evidence.size(partner.id, EvidenceKind.CRL) - len(kept.der)
    if kept.sha256 != row.sha256:
        return None
    trust = trust_of(partner, authorities)
    return _ResultContext(
        kept=kept, partner=partner, authorities=authorities, trust=trust, pair=pair, others=others
    )


def _judge(services: Services, context: _ResultContext, body: bytes, now: datetime) -> AcceptedEvidence:
    """Step 2."""
    trust = context.trust
    if trust is None:
        raise RequestRefused("evidence-not-signed", "the partner's terms or authorities cannot be read")
    if context.kept.kind is EvidenceKind.CRL:
        # At the limit, still accept a CRL that is not larger than the one it replaces; otherwise one issuer's long
        # lists make the others expire.
        if len(body) > len(context.kept.der) and context.others + len(body) > LISTS_BYTES:
            limit = LISTS_BYTES // (1024 * 1024)
            raise RequestRefused("evidence-too-much", f"all lists of a partner may have {limit} MiB together")

        def is_named(crl: Crl) -> bool:
            # The list at hand stays, whatever the answer were: it was asked when it was taken, and is not again, as
            # with a 304, though who named the address may be gone since. To take its word for a certificate is
            # decided at every connection, by issuer and scope; the next list has to be named anew.
            return _digest(body) == context.kept.sha256 or is_named_for(
                services, context.partner, context.authorities, url=context.kept.source, crl=crl, now=now
            )

        return accept_crl(
            body,
            context.kept.der,
            trust.store,
            is_named=is_named,
            inputs=trust.inputs,
            now=now,
            rules=trust.crl_rules,
        )
    if context.pair is None:
        raise RequestRefused("evidence-not-signed", "its certificate has no good path any more")
    return accept_ocsp_response(
        body, context.kept.this_update, *context.pair, now=now, rules=trust.ocsp_rules
    )


def _store(
    services: Services, context: _ResultContext, body: bytes, taken: AcceptedEvidence, now: datetime
) -> None:
    """Step 3, for what is new."""
    found = replace(
        context.kept,
        der=body,
        sha256=_digest(body),
        this_update=taken.this_update,
        next_update=taken.next_update,
        try_at=next_try_after_success(
            now, context.partner.refresh, taken.next_update, random_fraction(services)
        ),
    )
    news: dict[str, str | int | datetime] = {"sha256": found.sha256, "this_update": taken.this_update}
    if taken.next_update is not None:
        news["next_update"] = taken.next_update
    if taken.number is not None:  # up to 20 octets, and more from who breaks the rule: RFC 5280 section 5.2.3
        fits = abs(taken.number) <= MAX_INTEGER
        news |= {"number": taken.number} if fits else {"crl_number": f"0x{taken.number:x}"}
    if taken.status is not None:
        news["said"] = taken.status.value
    event = write_evidence_event(services, EventType.EVIDENCE_STORED, found, now, news)
    updates = _list_updates(services, context, found, taken, now)
    # A large list would take the room that is kept for withdrawals (docs/design/0045); a small one is one itself.
    try:
        with services.work.change(traffic=len(body) > LARGE_BYTES) as stores:
            current = stores.evidence.get(found.partner_id, found.kind, found.source, found.about)
            if current is None or current.sha256 != context.kept.sha256:
                return
            stores.evidence.store(found)
            _apply_updates(stores, updates, found.partner_id)
            stores.changes.note(ChangeKind.EVIDENCE, found.partner_id, now)
            if _is_news(context, taken):
                stores.outbox.add(event)
    except Unavailable:  # its revoked certificates take a few bytes, and are a withdrawal
        if any(one.recorded for one in updates):
            with services.work.change() as stores:
                if _apply_updates(stores, updates, found.partner_id):
                    stores.changes.note(ChangeKind.EVIDENCE, found.partner_id, now)
        raise


def _apply_updates(stores: Stores, updates: list[RevocationUpdate], partner_id: str) -> bool:
    """Write it down; return whether anything is another than before."""
    return any([one.apply(stores, partner_id) for one in updates])  # noqa: C419  each is kept


def _list_updates(
    services: Services, context: _ResultContext, found: EvidenceRecord, taken: AcceptedEvidence, now: datetime
) -> list[RevocationUpdate]:
    """Step 3, for what stays of it: of the list that gives way, then of the new one."""
    if context.pair is not None:
        status = StatusFinding(
            status=taken.status or RevocationStatus.UNDETERMINED,
            certificate=context.pair[0].sha256,
            evidence=(found.sha256,),
            reason=taken.reason,
            this_update=taken.this_update,
        )
        return [update_from_answer(services, context.partner, context.pair, status)]
    updates = [update_from_row(services, context.partner, context.kept, now)] if context.kept.der else []
    if taken.crl is not None:
        updates.append(update_from_crl(services, context.partner, context.authorities, taken.crl, now))
    return updates


def _is_news(context: _ResultContext, taken: AcceptedEvidence) -> bool:
    """Return whether it says another thing: each list does; an answer where its word is another than the last."""
    before = context.kept
    if context.trust is None or context.pair is None or before.this_update is None:
        return True
    try:  # by the clock of then: it may have ended meanwhile
        last = accept_ocsp_response(
            before.der,
            None,
            *context.pair,
            now=before.this_update,
            rules=context.trust.ocsp_rules,
        )
    except DoorwardError:  # its responder's certificate may be younger than its first moment
        return True
    return taken.status is not last.status


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def is_named_for(
    services: Services,
    partner: PartnerRecord,
    authorities: tuple[PartnerAuthorityRecord, ...],
    *,
    url: str,
    crl: Crl,
    now: datetime,
) -> bool:
    """Return whether a verified certificate of the partner takes a list of this issuer from this address.

    The owner of an address chooses who answers there: the owner of one intermediate must not be able to hand out an
    old list of a sibling by naming an address of his own. So a certificate that this list is about must name it too.
    0. An address that the operator gave by hand is named for every authority of the partner.
    1. The partner's authorities first: anchors, and intermediates with a good path now.
    2. Then the leaves that it has in the inventory, a page at a time, oldest first.
    The first that fits ends the search. So a list costs at most a look at all leaves of this partner, which is what
    one that fits no certificate costs; those of others the store passes over, and none of them is loaded. An address
    stands in a certificate in its own letters (IA5String), a blank as it is: what does not hold them is not parsed.

    Standard: RFC 5280 sections 4.2.1.13 and 6.3.3 (b).
    """
    if url in partner.crl_urls:
        return True
    trust = trust_of(partner, authorities)
    if trust is None:
        return False
    for der in _holding(services, partner, authorities, url):
        certificate = parse_if_sound(der)
        if certificate is None or not may_serve(certificate, url, crl):
            continue
        if trust.store.is_anchor(certificate) or find_issuer(trust, certificate, now) is not None:
            return True
    return False


def _holding(
    services: Services, partner: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord], url: str
) -> Iterator[bytes]:
    """Yield the partner's certificates in which the letters of the address stand."""
    letters, last = {url.encode(), url.replace("%20", " ").encode()}, ""
    yield from (one.der for one in authorities if any(text in one.der for text in letters))
    while True:
        with services.work.read() as stores:
            leaves = stores.certificates.list(
                CertificateFilter(
                    partner_id=partner.id,
                    profile=PARTNER_PROFILE,
                    state=CertificateState.VALID,
                    after_id=last,
                    limit=CERTIFICATES_AT_ONCE,
                )
            )
        yield from (one.der for one in leaves if any(text in one.der for text in letters))
        if len(leaves) < CERTIFICATES_AT_ONCE:
            return
        last = leaves[-1].id
