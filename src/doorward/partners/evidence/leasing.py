"""Which fetches are due, claimed for this process: no other one makes them meanwhile.

Not here: fetching (a `Fetcher`, in threads of `runtime`), judging what came (taking).
A claim ends by itself after two minutes: a process that died in between leaves nothing undone, and one that
starts anew does not ask everybody at once, because every row has its own time.
Bounded by `FetchSlots`: so many at once in all, of one partner and from one host, so that a partner whose
responder is dead takes no turn from another. What does not fit stays due; there is no queue.
Within a partner the CRLs, of which there are few and each speaks of many, do not wait behind its OCSP answers,
of which there may be thousands: both kinds are looked at, CRLs first, and neither takes the last place of the other.
Of one kind what is at a host that is full is not looked at, and what is at one that gave nothing a moment ago comes
last: or thousands of answers of a dead responder, longest due, would hide those of one that lives.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from urllib.parse import urlsplit

from doorward.core.addresses import parse_private_networks
from doorward.core.errors import DoorwardError, MalformedInput
from doorward.core.ports import FetchRequest
from doorward.partners.evidence.failures import record_failure
from doorward.partners.evidence.sources import CRL_LIMIT
from doorward.partners.trust import find_issuer, parse_if_sound, trust_of
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord, PartnerRecord
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from doorward.verification.partner import RevocationMode
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.revocation.ocsp import ANSWER_LIMIT
from doorward.verification.revocation.sources import build_ocsp_request

LEASE = timedelta(minutes=2)
FETCH_SECONDS = 30.0
CRL_BYTES = 32 * 1024 * 1024
"""Of one CRL: some 800,000 entries. Several may be in memory at once."""

_PEEK = {EvidenceKind.CRL: CRL_LIMIT, EvidenceKind.OCSP: 32}
"""Rows of one partner that are looked at in one go: every CRL, so that those of a dead host hide no other."""

BEHIND = timedelta(minutes=1)
"""How long a host that gave nothing comes last: longer than one fetch, so that a dead one that goes on being asked
stays there, and one that lives does not stay behind the dead for its one failure."""
_FAILED_LIMIT = 16
"""Hosts of one partner whose failure is remembered, the last ones: the store holds every row against each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """One fetch that this process has claimed; `host` is as in the URL, with its port."""

    evidence: EvidenceRecord
    request: FetchRequest
    host: str


class FetchSlots:
    """How much may be under way at once; safe to share between threads."""

    def __init__(self, *, total: int = 8, per_partner: int = 4, per_kind: int = 3, per_host: int = 2) -> None:
        self._total, self._per_host = total, per_host
        self._per_partner, self._per_kind = per_partner, per_kind
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._failed: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()

    def acquire(self, partner_id: str, host: str, kind: EvidenceKind) -> bool:
        """Take one place; False where there is none."""
        limits = self._limits(partner_id, host, kind)
        with self._lock:
            if any(self._taken[key] >= limit for key, limit in limits.items()):
                return False
            self._taken.update(limits.keys())
            return True

    def release(self, partner_id: str, host: str, kind: EvidenceKind) -> None:
        """Give one place back."""
        with self._lock:
            for key in self._limits(partner_id, host, kind):
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]

    def note_result(self, partner_id: str, host: str, *, failed: bool, now: datetime) -> None:
        """Note whether what a partner asked a host for came; one partner's failures put no other's rows last."""
        with self._lock:
            self._failed.pop((partner_id, host), None)
            self._failed = {key: until for key, until in self._failed.items() if now < until}
            if failed:
                self._failed[partner_id, host] = now + BEHIND
            known = [key for key in self._failed if key[0] == partner_id]
            for key in known[:-_FAILED_LIMIT]:
                del self._failed[key]

    def full_hosts(self) -> frozenset[str]:
        """Return the hosts that have no place left."""
        with self._lock:
            taken = [(key[1], count) for key, count in self._taken.items() if key[0] == "host"]
        return frozenset(host for host, count in taken if count >= self._per_host)

    def failed_hosts(self, partner_id: str, now: datetime) -> frozenset[str]:
        """Return the hosts that gave a partner nothing a moment ago."""
        with self._lock:
            kept = list(self._failed.items())
        return frozenset(host for (whose, host), until in kept if whose == partner_id and now < until)

    def _limits(self, partner_id: str, host: str, kind: EvidenceKind) -> Mapping[tuple[str, ...], int]:
        """What one fetch counts for; a kind is one partner's."""
        return {
            ("all",): self._total,
            ("partner", partner_id): self._per_partner,
            ("kind", partner_id, kind.value): self._per_kind,
            ("host", host): self._per_host,
        }


def lease_due(services: Services, slots: FetchSlots) -> list[FetchTask]:
    """Claim what is due and fits; the caller releases the slot after each task.

    What cannot be asked is told as any failure. Rows with a certificate that has no good
    path any more are left to the survey, which forgets them.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        partners = [one for one in stores.partners.list() if one.revocation is not RevocationMode.OFF]
        due = {one.id: _due(stores, slots, one, now) for one in partners}
    waiting = list(_in_turns(partners, due, services.random.token(1)[0]))
    entered = [(one, row) for one, row in waiting if slots.acquire(one.id, _host(row.source), row.kind)]
    tasks: list[FetchTask] = []
    unasked: list[tuple[EvidenceRecord, DoorwardError]] = []
    try:
        if entered:
            with services.work.change() as stores:
                for partner, row in entered:
                    request = _build(stores, partner, row, now)
                    if not stores.evidence.lease(row, now + LEASE) or request is None:
                        continue
                    if isinstance(request, FetchRequest):
                        tasks.append(FetchTask(evidence=row, request=request, host=_host(row.source)))
                    else:
                        unasked.append((row, request))
        for row, failure in unasked:
            record_failure(services, row, failure)
    except BaseException:
        tasks = []
        raise
    finally:
        claimed = {id(one.evidence) for one in tasks}
        for partner, row in entered:
            if id(row) not in claimed:
                slots.release(partner.id, _host(row.source), row.kind)
    return tasks


def _due(stores: Stores, slots: FetchSlots, partner: PartnerRecord, now: datetime) -> list[EvidenceRecord]:
    """One CRL, one OCSP answer, the next of each; of each kind the longest due first, failed hosts last."""
    full, failed = slots.full_hosts(), slots.failed_hosts(partner.id, now)

    def look(kind: EvidenceKind, limit: int) -> list[EvidenceRecord]:
        rows = stores.evidence.due(now, limit, partner.id, kind, _beginnings(full | failed))
        if failed and len(rows) < limit:
            behind = stores.evidence.due(now, limit, partner.id, kind, _beginnings(full))
            rows = list(dict.fromkeys([*rows, *behind]))
        return rows

    crls, answers = (look(kind, limit) for kind, limit in _PEEK.items())
    return [row for pair in zip_longest(crls, answers) for row in pair if row is not None]


def _beginnings(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return what the URLs of these hosts begin with."""
    return tuple(f"{scheme}://{host}/" for host in sorted(hosts) for scheme in ("http", "https"))


def _in_turns(
    partners: Sequence[PartnerRecord], due: Mapping[str, Sequence[EvidenceRecord]], first: int
) -> Iterator[tuple[PartnerRecord, EvidenceRecord]]:
    """One row of each partner, then the next of each, beginning with any of them."""
    start = first % len(partners) if partners else 0
    for place in range(max(map(len, due.values()), default=0)):
        for partner in (*partners[start:], *partners[:start]):
            if place < len(due[partner.id]):
                yield partner, due[partner.id][place]


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _build(
    stores: Stores, partner: PartnerRecord, row: EvidenceRecord, now: datetime
) -> FetchRequest | DoorwardError | None:
    """Return what to ask, or why it cannot be asked; None if nothing may be asked for this row any more."""
    if row.kind is EvidenceKind.CRL:
        usable = row.next_update is not None and now <= row.next_update
        return FetchRequest(
            url=row.source,
            limit=CRL_BYTES,
            seconds=FETCH_SECONDS,
            allow_private=parse_private_networks(partner.allow_private),
            accept="application/pkix-crl",
            etag=row.etag if usable else "",  # near its end nobody is asked whether it is still the same
        )
    pair = certificate_and_issuer(stores, partner, row.about, now)
    if pair is None:
        return None
    try:
        question = build_ocsp_request(*pair)
    except MalformedInput as failure:
        return failure
    return FetchRequest(
        url=row.source,
        limit=ANSWER_LIMIT,
        seconds=FETCH_SECONDS,
        allow_private=parse_private_networks(partner.allow_private),
        accept="application/ocsp-response",
        body=question,
        media_type="application/ocsp-request",
    )


def certificate_and_issuer(
    stores: Stores, partner: PartnerRecord, sha256: str, now: datetime
) -> tuple[PathCertificate, PathCertificate] | None:
    """Return a partner's certificate and who issued it, where it has a good path now."""
    authorities = stores.partners.authorities(partner.id)
    der = next((one.der for one in authorities if one.sha256 == sha256), b"")
    if not der:
        record = stores.certificates.by_sha256(sha256)
        if record is None or stores.partners.issuer(record.authority_id) != partner.id:
            return None
        der = record.der
    certificate = parse_if_sound(der)
    trust = trust_of(partner, authorities)
    issuer = find_issuer(trust, certificate, now) if trust and certificate else None
    return None if certificate is None or issuer is None else (certificate, issuer)
