"""The cache of parsed evidence of revocation in this process: one `EvidenceIndex` for each partner.

Not here: fetching evidence (`evidence`), judging by it (`verification.revocation`). Parsing a CRL of a million
entries takes seconds, so connections never wait for it: `load` runs in a thread of its own. Until `load`
returns, connections use the former index. The first index is empty: it has no evidence, and so lets no certificate in if evidence
is required.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from doorward.core.errors import MalformedInput
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.stores.protocols import UnitOfWork
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex, UnusableSources
from doorward.verification.revocation.status import RecordedRevocation

_EMPTY = EvidenceIndex()
_TRIES = 3
"""A row is replaced once an hour or so."""

_Key = tuple[EvidenceKind, str, str]
"""Kind, source and certificate of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """One partner's index and the evidence in it, by SHA-256, so that unchanged evidence is not parsed again."""

    evidence_index: EvidenceIndex
    crls: Mapping[str, Crl]
    bodies: Mapping[str, bytes]
    responses: Mapping[str, tuple[bytes, ...]]
    by_source: Mapping[str, Crl]
    other_inputs: tuple[frozenset[_Key], tuple[RecordedRevocation, ...], tuple[str, ...]]


_UNREAD = _Loaded(
    evidence_index=EvidenceIndex(unusable=UnusableSources(any_certificate=True)),
    crls={},
    bodies={},
    responses={},
    by_source={},
    other_inputs=(frozenset({(EvidenceKind.CRL, "", "")}), (), ()),
)


class EvidenceCache:
    """The evidence of all partners in one process; safe to share between threads."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._loaded: Mapping[str, _Loaded] = {}

    def of(self, partner_id: str) -> EvidenceIndex:
        """Return a partner's current evidence."""
        loaded = self._loaded.get(partner_id)
        return _EMPTY if loaded is None else loaded.evidence_index

    def load(self, partner_id: str) -> bool:
        """Load a partner's evidence from the database; return whether it changed.

        A CRL that cannot be parsed here, although it was accepted when it was stored, counts as unusable: the
        certificates that it may cover are refused, and the other CRLs stay in use. If a row is replaced while the rows are
        read, all rows are listed again, up to `_TRIES` times. After that the replaced rows count as unusable until the next change:
        otherwise a revoked certificate would get in until then, if its proof is only preferred.

        Raises:
            Unavailable: the database cannot be read; the former evidence stays.
        """
        with self._lock:  # two concurrent loads could end in the wrong order
            before = self._loaded.get(partner_id)
            parsed: dict[str, Crl | bytes] = {}
            for _ in range(_TRIES):
                loaded, is_whole = self._load(partner_id, before, parsed)
                if is_whole:
                    break
            if before and (before.crls.keys(), before.responses, before.other_inputs) == (
                loaded.crls.keys(),
                loaded.responses,
                loaded.other_inputs,
            ):
                return False
            self._loaded = {**self._loaded, partner_id: loaded}
            return True

    def _load(
        self, partner_id: str, before: _Loaded | None, parsed: dict[str, Crl | bytes]
    ) -> tuple[_Loaded, bool]:
        """Return the evidence, and whether no row was replaced while it was read; `parsed` remembers what was read, by SHA-256."""
        crls: dict[str, Crl] = {}
        bodies: dict[str, bytes] = {}
        responses: dict[str, tuple[bytes, ...]] = {}
        by_source: dict[str, Crl] = {}
        is_whole = True
        rows, seen, added_urls = self._list(partner_id)
        unusable = {(one.kind, one.source, one.about) for one in rows if one.unusable}
        for one in rows:
            if not one.sha256:
                continue
            known = parsed.get(one.sha256) or _find_loaded(before, one)
            body = b"" if known else self._read(one)
            if body is None:  # replaced or removed since it was listed
                is_whole, body = False, b""
            if one.kind is EvidenceKind.CRL:
                crl = known if isinstance(known, Crl) else _parse(body)
                if crl is None:
                    unusable.add((one.kind, one.source, one.about))
                    crl = before.by_source.get(one.source) if before else None  # the last good one stays
                else:
                    parsed[one.sha256] = crl
                if crl is not None:
                    crls[crl.sha256] = by_source[one.source] = crl
            elif not known and not body:
                unusable.add((one.kind, one.source, one.about))
            else:
                bodies[one.sha256] = parsed[one.sha256] = known if isinstance(known, bytes) else body
                responses[one.about] = (*responses.get(one.about, ()), bodies[one.sha256])
        loaded = _Loaded(
            evidence_index=EvidenceIndex(
                crls.values(), responses, recorded=seen, unusable=_describe(unusable, added_urls)
            ),
            crls=crls,
            bodies=bodies,
            responses=responses,
            by_source=by_source,
            other_inputs=(frozenset(unusable), seen, added_urls),
        )
        return loaded, is_whole

    def mark_unread(self, partner_id: str) -> None:
        """Note that a partner's evidence cannot be read; the evidence that was loaded before stays.

        If none was loaded before, the partner now has unusable evidence, which is stricter than no evidence.
        """
        with self._lock:
            if partner_id not in self._loaded:
                self._loaded = {**self._loaded, partner_id: _UNREAD}

    def _list(
        self, partner_id: str
    ) -> tuple[list[EvidenceRecord], tuple[RecordedRevocation, ...], tuple[str, ...]]:
        """Return the rows, the recorded revocations, and the addresses of CRLs that the operator added."""
        with self._work.read() as stores:
            partner = stores.partners.get(partner_id)
            added_urls = partner.crl_urls if partner is not None else ()
            return (
                stores.evidence.list(partner_id),
                tuple(stores.evidence.recorded_revocations(partner_id)),
                added_urls,
            )

    def _read(self, one: EvidenceRecord) -> bytes | None:
        """Return the bytes of a row, which are empty if they are damaged; None if it was replaced or removed since it was listed."""
        with self._work.read() as stores:
            found = stores.evidence.get(one.partner_id, one.kind, one.source, one.about)
        return found.der if found is not None and found.sha256 == one.sha256 else None


def _find_loaded(before: _Loaded | None, one: EvidenceRecord) -> Crl | bytes | None:
    if before is None:
        return None
    return (before.crls if one.kind is EvidenceKind.CRL else before.bodies).get(one.sha256)


def _parse(body: bytes) -> Crl | None:
    try:
        return parse_crl(body)
    except MalformedInput:
        return None


def _describe(unusable: Iterable[_Key], added_urls: tuple[str, ...]) -> UnusableSources:
    """Return the sources of unusable evidence.

    A CRL that the operator added may cover every certificate, also a certificate that names other CRLs.
    """
    rows = tuple(unusable)
    return UnusableSources(
        any_certificate=any(kind is EvidenceKind.CRL and source in added_urls for kind, source, _ in rows),
        crl_urls=frozenset(source for kind, source, _ in rows if kind is EvidenceKind.CRL),
        certificates=frozenset(about for kind, _, about in rows if kind is EvidenceKind.OCSP),
    )
