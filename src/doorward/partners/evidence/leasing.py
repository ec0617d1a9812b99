"""Leasing the due fetches for this process, so that no other process makes them at the same time.

Not here: fetching (a `Fetcher`, in threads of `runtime`), storing the result (fetch_results).
- A lease ends by itself after two minutes, so a process that dies leaves nothing undone. A process that
  restarts does not fetch everything at once, because every row has its own time.
- `FetchSlots` limits the fetches at the same time: in total, per partner and per host. So a partner with a dead
  responder does not block another partner. A row that gets no slot stays due; there is no queue.
- A partner has few CRLs, each about many certificates, and may have thousands of OCSP responses. So its CRLs do not wait
  behind its OCSP responses: both kinds are read, CRLs first, and neither kind can use all slots of the partner.
- Rows of a host without a free slot are not read, and rows of a host that has just failed come last. Otherwise thousands
  of due responses from a dead responder would hide those from one that works.
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
from doorward.verification.revocation.ocsp import RESPONSE_LIMIT
from doorward.verification.revocation.sources import build_ocsp_request

LEASE = timedelta(minutes=2)
FETCH_SECONDS = 30.0
CRL_BYTES = 32 * 1024 * 1024
"""Of one CRL: about 800,000 entries. Several may be in memory at once."""

_ROWS_AT_ONCE = {EvidenceKind.CRL: CRL_LIMIT, EvidenceKind.OCSP: 32}
"""Rows of one partner that are read at once: every CRL, so that the CRLs of a dead host hide no other."""

FAILED_HOST_DELAY = timedelta(minutes=1)
"""How long the rows of a host come last after a failure. It is longer than one fetch, so a dead host stays last while it
is tried again. It is short, so a working host does not stay last for long because of one failure."""
_FAILED_LIMIT = 16
"""The number of failed hosts that are kept for one partner; the store compares every row with each of these hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """One fetch that this process has leased; `host` is as in the URL, with its port."""

    evidence: EvidenceRecord
    request: FetchRequest
    host: str


class FetchSlots:
    """Limits the fetches at the same time; safe to share between threads."""

    def __init__(self, *, total: int = 8, per_partner: int = 4, per_kind: int = 3, per_host: int = 2) -> None:
        self._total, self._per_host = total, per_host
        self._per_partner, self._per_kind = per_partner, per_kind
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._failed: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()

    def acquire(self, partner_id: str, host: str, kind: EvidenceKind) -> bool:
        """Take one slot; False if there is none."""
        limits = self._limits(partner_id, host, kind)
        with self._lock:
            if any(self._taken[key] >= limit for key, limit in limits.items()):
                return False
            self._taken.update(limits.keys())
            return True

    def release(self, partner_id: str, host: str, kind: EvidenceKind) -> None:
        """Give one slot back."""
        with self._lock:
            for key in self._limits(partner_id, host, kind):
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]

    def note_result(self, partner_id: str, host: str, *, failed: bool, now: datetime) -> None:
        """Note whether a fetch from a host for a partner failed; failures of one partner do not affect another."""
        with self._lock:
            self._failed.pop((partner_id, host), None)
            self._failed = {key: until for key, until in self._failed.items() if now < until}
            if failed:
                self._failed[partner_id, host] = now + FAILED_HOST_DELAY
            known = [key for key in self._failed if key[0] == partner_id]
            for key in known[:-_FAILED_LIMIT]:
                del self._failed[key]

    def full_hosts(self) -> frozenset[str]:
        """Return the hosts without a free slot."""
        with self._lock:
            taken = [(key[1], count) for key, count in self._taken.items() if key[0] == "host"]
        return frozenset(host for host, count in taken if count >= self._per_host)

    def failed_hosts(self, partner_id: str, now: datetime) -> frozenset[str]:
        """Return the hosts that failed for a partner within the last minute (`FAILED_HOST_DELAY`)."""
        with self._lock:
            kept = list(self._failed.items())
        return frozenset(host for (partner, host), until in kept if partner == partner_id and now < until)

    def _limits(self, partner_id: str, host: str, kind: EvidenceKind) -> Mapping[tuple[str, ...], int]:
        """Return the limits that apply to one fetch."""
        return {
            ("all",): self._total,
            ("partner", partner_id): self._per_partner,
            ("kind", partner_id, kind.value): self._per_kind,
            ("host", host): self._per_host,
        }


def lease_due(services: Services, slots: FetchSlots) -> list[FetchTask]:
    """Lease the due fetches for which there is a slot; the caller releases the slot after each task.

    If no request can be built for a row, this is recorded as a failure. A row about a certificate that has no good
    path any more is skipped; the source scan removes it.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        partners = [one for one in stores.partners.list() if one.revocation is not RevocationMode.OFF]
        due = {one.id: _list_due(stores, slots, one, now) for one in partners}
    waiting = list(_in_turns(partners, due, services.random.token(1)[0]))
    slotted = [(one, row) for one, row in waiting if slots.acquire(one.id, _host(row.source), row.kind)]
    tasks: list[FetchTask] = []
    unbuildable: list[tuple[EvidenceRecord, DoorwardError]] = []
    try:
        if slotted:
            with services.work.change() as stores:
                for partner, row in slotted:
                    request = _build(stores, partner, row, now)
                    if not stores.evidence.lease(row, now + LEASE) or request is None:
                        continue
                    if isinstance(request, FetchRequest):
                        tasks.append(FetchTask(evidence=row, request=request, host=_host(row.source)))
                    else:
                        unbuildable.append((row, request))
        for row, failure in unbuildable:
            record_failure(services, row, failure)
    except BaseException:
        tasks = []
        raise
    finally:
        claimed = {id(one.evidence) for one in tasks}
        for partner, row in slotted:
            if id(row) not in claimed:
                slots.release(partner.id, _host(row.source), row.kind)
    return tasks


def _list_due(
    stores: Stores, slots: FetchSlots, partner: PartnerRecord, now: datetime
) -> list[EvidenceRecord]:
    """Return the due rows, CRLs and OCSP responses in turns; of each kind the longest due first, failed hosts last."""
    full, failed = slots.full_hosts(), slots.failed_hosts(partner.id, now)

    def read_rows(kind: EvidenceKind, limit: int) -> list[EvidenceRecord]:
        rows = stores.evidence.due(now, limit, partner.id, kind, _url_prefixes(full | failed))
        if failed and len(rows) < limit:
            behind = stores.evidence.due(now, limit, partner.id, kind, _url_prefixes(full))
            rows = list(dict.fromkeys([*rows, *behind]))
        return rows

    crls, responses = (read_rows(kind, limit) for kind, limit in _ROWS_AT_ONCE.items())
    return [row for pair in zip_longest(crls, responses) for row in pair if row is not None]


def _url_prefixes(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the beginnings of all URLs of these hosts."""
    return tuple(f"{scheme}://{host}/" for host in sorted(hosts) for scheme in ("http", "https"))


def _in_turns(
    partners: Sequence[PartnerRecord], due: Mapping[str, Sequence[EvidenceRecord]], first: int
) -> Iterator[tuple[PartnerRecord, EvidenceRecord]]:
    """Yield one row of each partner, then the next of each; `first` selects the partner to begin with."""
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
    """Return the request, or why it cannot be built; None if nothing may be fetched for this row any more."""
    if row.kind is EvidenceKind.CRL:
        usable = row.next_update is not None and now <= row.next_update
        return FetchRequest(
            url=row.source,
            limit=CRL_BYTES,
            seconds=FETCH_SECONDS,
            allow_private=parse_private_networks(partner.allow_private),
            accept="application/pkix-crl",
            etag=row.etag if usable else "",  # an expired CRL must be fetched completely
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
        limit=RESPONSE_LIMIT,
        seconds=FETCH_SECONDS,
        allow_private=parse_private_networks(partner.allow_private),
        accept="application/ocsp-response",
        body=question,
        media_type="application/ocsp-request",
    )


def certificate_and_issuer(
    stores: Stores, partner: PartnerRecord, sha256: str, now: datetime
) -> tuple[PathCertificate, PathCertificate] | None:
    """Return a partner's certificate and its issuer; None if it has no good path now."""
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
