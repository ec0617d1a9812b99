"""Processing the result of a fetch: check it and store it, or record the failure.

1. Read the row, the partner's terms and its authorities again: they may have changed, because a fetch takes up to half a
   minute.
2. Check the response (verification.revocation.acceptance), outside of a write transaction. All CRLs of one partner
   together have a size limit, because every gateway holds them in memory, at about five times their size.
3. Record the revocations of known certificates (recorded_revocations). Store new evidence with a change about the
   partner, so that gateways load it. An unchanged CRL, or the status 304, only sets the time of the next fetch, unless the
   stored one is damaged: then that is recorded as a failure, and the whole CRL is fetched again and takes its place.
4. A failure also sets the time of the next fetch. The stored evidence stays in use until it expires. Every exception is
   stored as a failure with its reason, also one that is a fault of this program (failures).
An event is recorded only for news: a new CRL, another response of a responder, another failure than the last one.

Not here: fetching, judging certificates by the evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.audit.events import EventType
from doorward.audit.values import MAX_INTEGER
from doorward.core.certificate import CertificateState
from doorward.core.errors import DoorwardError, IntegrityError, RequestRefused, Unavailable
from doorward.core.ports import FetchResponse
from doorward.partners.evidence.failures import (
    is_unusable,
    new_evidence_event,
    next_try_after_success,
    note_failure,
    random_fraction,
)
from doorward.partners.evidence.leasing import FetchTask, certificate_and_issuer
from doorward.partners.evidence.pieces import forget_pieces, store_pieces
from doorward.partners.evidence.recorded_revocations import (
    RevocationUpdate,
    update_from_crl,
    update_from_ocsp_response,
    update_from_row,
)
from doorward.partners.evidence.sources import CERTIFICATES_AT_ONCE
from doorward.partners.trust import find_issuer, parse_if_sound, trust_of
from doorward.stores.crl_pieces import PIECE_BYTES
from doorward.stores.partner_records import (
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
from doorward.verification.revocation.status import RevocationStatus, StatusFinding, usable_until
from doorward.wire.pem_crl import decode_pem_crl

LISTS_BYTES = 128 * 1024 * 1024
"""Of all CRLs of one partner. Concurrent fetches may exceed it, each by its own limit at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResultContext:
    """The current records that belong to one result.

    Args:
        kept: the row as stored now.
        partner: its partner.
        authorities: the partner's authorities.
        trust: built from both; None if they cannot be parsed.
        pair: the certificate that an OCSP response is about, and its issuer.
        others: the size in bytes of the partner's other CRLs.
    """

    kept: EvidenceRecord
    partner: PartnerRecord
    authorities: tuple[PartnerAuthorityRecord, ...]
    trust: PartnerTrust | None
    pair: tuple[PathCertificate, PathCertificate] | None
    others: int

    @property
    def is_damaged(self) -> bool:
        """Whether the stored evidence is not what was stored (`EvidenceStore.get`)."""
        return bool(self.kept.sha256) and not self.kept.der


def process_fetch_result(
    services: Services, task: FetchTask, outcome: FetchResponse | DoorwardError
) -> DoorwardError | None:
    """Process the response or the error of one fetch.

    Nothing happens if the partner or the row was removed meanwhile, or another process has stored newer evidence.

    Returns:
        The failure, for the log; None if the result was good or nothing happened.
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
        came = bool(outcome.context.get("came"))  # a response came, but too large or in an unknown encoding
        note_failure(services, context.kept, context.partner, outcome, now, unusable=came)
        return outcome
    try:
        accepted = None if outcome.body is None else _judge(services, context, outcome.body, now)
    except DoorwardError as failure:
        note_failure(services, context.kept, context.partner, failure, now, unusable=is_unusable(failure))
        return failure
    if context.is_damaged and accepted is None:
        return _note_damage(services, context, now)
    etag = context.kept.etag if outcome.body is None else outcome.etag
    was_unusable = context.kept.unusable
    kept = replace(context.kept, etag=etag, fetched_at=now, failures=0, problem="", unusable=False)
    context = replace(context, kept=kept)
    if (
        accepted is not None
        and outcome.body is not None
        and (not kept.der or _digest(outcome.body) != kept.sha256)
    ):
        _store(services, context, outcome.body, accepted, now)
        return None
    at = next_try_after_success(now, context.partner.refresh, kept.next_update, random_fraction(services))
    with services.work.change() as stores:
        stores.evidence.reschedule(replace(kept, try_at=at))
        if was_unusable:
            stores.changes.note(ChangeKind.EVIDENCE, context.partner.id, now)
    return None


def _note_damage(services: Services, context: _ResultContext, now: datetime) -> DoorwardError:
    """Record that the stored evidence is damaged, and have the whole of it fetched again: without an ETag the server sends it."""
    failure = IntegrityError(
        "evidence-damaged",
        "the stored evidence is not what was fetched, and the whole of it is fetched again",
    )
    # The server is well: it is asked again soon, once.
    failures = 0 if context.kept.etag else context.kept.failures
    kept = replace(context.kept, etag="", failures=failures)
    note_failure(services, kept, context.partner, failure, now, unusable=False)
    return failure


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
        # lists make the others expire. A CRL of any size may replace a damaged one: the size of that one is not known
        # here, and the limit must not keep it damaged.
        is_too_much = len(body) > len(context.kept.der) and context.others + len(body) > LISTS_BYTES
        if is_too_much and not context.is_damaged:
            limit = LISTS_BYTES // (1024 * 1024)
            raise RequestRefused(
                "evidence-too-much",
                f"with this CRL of {len(body)} bytes all CRLs of the partner exceed {limit} MiB together",
                hint="ask the partner for OCSP, or for CRLs in smaller parts; those that are kept stay in use until they expire",
            )

        def is_named(crl: Crl) -> bool:
            # An unchanged CRL was checked when it was stored and is not checked again, as with a 304, even if the
            # certificate that named its address was removed since. Every connection checks by issuer and scope
            # whether the CRL covers its certificate. A new CRL at this address is checked here again.
            return _digest(body) == context.kept.sha256 or is_named_for(
                services, context.partner, context.authorities, url=context.kept.source, crl=crl, now=now
            )

        accepted = accept_crl(
            body,
            context.kept.der,
            trust.store,
            is_named=is_named,
            inputs=trust.inputs,
            now=now,
            rules=trust.crl_rules,
        )
        if context.is_damaged:
            _refuse_older(context.kept, accepted, now, trust.crl_rules.grace)
        return accepted
    if context.pair is None:
        raise RequestRefused(
            "evidence-not-signed", "the certificate of this response has no good path any more"
        )
    return accept_ocsp_response(
        body, context.kept.this_update, *context.pair, now=now, rules=trust.ocsp_rules
    )


def _refuse_older(kept: EvidenceRecord, accepted: AcceptedEvidence, now: datetime, grace: timedelta) -> None:
    """Refuse a CRL that is older than a damaged one, of which only the times are known, while that one may be used.

    Otherwise an old CRL could be replayed after damage, and a revoked certificate would be let in.
    """
    in_use = kept.next_update is None or now <= usable_until(kept.next_update, grace)
    if in_use and kept.this_update is not None and accepted.this_update < kept.this_update:
        raise RequestRefused("evidence-replayed", "this CRL is older than the stored one, which is damaged")


def _store(
    services: Services, context: _ResultContext, body: bytes, accepted: AcceptedEvidence, now: datetime
) -> None:
    """Step 3, for new evidence."""
    found = replace(
        context.kept,
        der=body,
        sha256=_digest(body),
        this_update=accepted.this_update,
        next_update=accepted.next_update,
        try_at=next_try_after_success(
            now, context.partner.refresh, accepted.next_update, random_fraction(services)
        ),
    )
    news: dict[str, str | int | datetime] = {"sha256": found.sha256, "this_update": accepted.this_update}
    if accepted.next_update is not None:
        news["next_update"] = accepted.next_update
    if accepted.number is not None:  # up to 20 octets, or more if the issuer breaks RFC 5280 section 5.2.3
        fits = abs(accepted.number) <= MAX_INTEGER
        news |= {"number": accepted.number} if fits else {"crl_number": f"0x{accepted.number:x}"}
    if accepted.status is not None:
        news["said"] = accepted.status.value
    event = new_evidence_event(services, EventType.EVIDENCE_STORED, found, now, news)
    updates = _list_updates(services, context, found, accepted, now)
    # A large CRL must not use the disk space that is reserved for withdrawals (docs/design/0045); a small one may.
    try:
        store_pieces(services, body)
        with services.work.change(traffic=len(body) > PIECE_BYTES) as stores:
            current = stores.evidence.digest(found.partner_id, found.kind, found.source, found.about)
            if current is None or current != context.kept.sha256:
                return
            stores.evidence.store(found)
            _apply_updates(stores, updates, found.partner_id)
            stores.changes.note(ChangeKind.EVIDENCE, found.partner_id, now)
            if _is_news(context, accepted):
                stores.outbox.add(event)
    except Unavailable:  # its revocations need only a few bytes, and may use the reserved space
        if any(one.recorded for one in updates):
            with services.work.change() as stores:
                if _apply_updates(stores, updates, found.partner_id):
                    stores.changes.note(ChangeKind.EVIDENCE, found.partner_id, now)
        raise
    if len(context.kept.der) > PIECE_BYTES:
        with suppress(Unavailable):  # the fetch was good; the scan removes what is left (sources)
            forget_pieces(services, context.kept.sha256)


def _apply_updates(stores: Stores, updates: list[RevocationUpdate], partner_id: str) -> bool:
    """Apply all updates; return whether any of them changed something."""
    return any([one.apply(stores, partner_id) for one in updates])  # noqa: C419  each must be applied


def _list_updates(
    services: Services,
    context: _ResultContext,
    found: EvidenceRecord,
    accepted: AcceptedEvidence,
    now: datetime,
) -> list[RevocationUpdate]:
    """Step 3, for recorded revocations: from the CRL that is replaced, then from the new evidence."""
    if context.pair is not None:
        status = StatusFinding(
            status=accepted.status or RevocationStatus.UNDETERMINED,
            certificate=context.pair[0].sha256,
            evidence=(found.sha256,),
            reason=accepted.reason,
            this_update=accepted.this_update,
        )
        return [update_from_ocsp_response(services, context.partner, context.pair, status)]
    updates = [update_from_row(services, context.partner, context.kept, now)] if context.kept.der else []
    if accepted.crl is not None:
        updates.append(update_from_crl(services, context.partner, context.authorities, accepted.crl, now))
    return updates


def _is_news(context: _ResultContext, accepted: AcceptedEvidence) -> bool:
    """Return whether the evidence is news: every CRL is; an OCSP response is if its status differs from the last one."""
    before = context.kept
    if context.trust is None or context.pair is None or before.this_update is None:
        return True
    try:  # judged at its own time, because it may have expired since
        last = accept_ocsp_response(
            before.der,
            None,
            *context.pair,
            now=before.this_update,
            rules=context.trust.ocsp_rules,
        )
    except DoorwardError:  # for example, the responder's certificate may not have been valid at that time
        return True
    return accepted.status is not last.status


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
    """Return whether a verified certificate of the partner names this address for a CRL of this issuer.

    The owner of an address chooses the file there. So the owner of one intermediate could name an address of his own and
    serve an old CRL of another intermediate there. Therefore a certificate that this CRL covers must name the address.
    0. An address that the operator added is good for every authority of the partner.
    1. The partner's authorities are searched first: anchors, and intermediates with a good path now.
    2. Then its leaves in the inventory, one page at a time, oldest first.
    The search ends at the first match. A CRL without a match costs one read of all leaves of this partner; leaves of
    other partners are not loaded. An address is contained in a certificate as plain text (IA5String), with spaces as
    they are. A certificate that does not contain this text is not parsed.

    Standard: RFC 5280 sections 4.2.1.13 and 6.3.3 (b).
    """
    if url in partner.crl_urls:
        return True
    trust = trust_of(partner, authorities)
    if trust is None:
        return False
    for der in _certificates_containing(services, partner, authorities, url):
        certificate = parse_if_sound(der)
        if certificate is None or not may_serve(certificate, url, crl):
            continue
        if trust.store.is_anchor(certificate) or find_issuer(trust, certificate, now) is not None:
            return True
    return False


def _certificates_containing(
    services: Services, partner: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord], url: str
) -> Iterator[bytes]:
    """Yield the partner's certificates that contain the text of the address."""
    letters, last = {url.encode(), url.replace("%20", " ").encode()}, ""
    yield from (one.der for one in authorities if any(text in one.der for text in letters))
    while True:
        with services.work.read() as stores:
            leaves = stores.certificates.list(
                CertificateFilter(
                    partner_id=partner.id,
                    state=CertificateState.VALID,
                    after_id=last,
                    limit=CERTIFICATES_AT_ONCE,
                )
            )
        yield from (one.der for one in leaves if any(text in one.der for text in letters))
        if len(leaves) < CERTIFICATES_AT_ONCE:
            return
        last = leaves[-1].id
