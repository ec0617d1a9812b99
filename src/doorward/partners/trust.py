"""What the database says of partners, as the checker takes it: trust from terms and certificates.

Not here: the evidence of revocation (`evidence_cache`), and judging (`partner_access`). Reading a partner's
certificates and finding out who signed whom costs milliseconds for each: what did not change is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from doorward.core.errors import MalformedInput
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.stores.protocols import Stores
from doorward.verification.identity import IdentityRule
from doorward.verification.partner import PartnerTrust
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.store import TrustStore
from doorward.verification.path.subtree_text import parse_subtree

_REMEMBERED = 4096
_Signer = tuple[CanonicalName, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """One partner: its terms, what is trusted of it, the ids of its authorities by SHA-256, and which are anchors.

    `namesakes` are, by the id of an authority, the ids of all that ever had its name and key, its own
    included: of a renewed certificate, of a cross-certificate, of a partner that was removed.
    """

    record: PartnerRecord
    trust: PartnerTrust
    authority_ids: Mapping[str, str]
    anchors: frozenset[str]
    namesakes: Mapping[str, tuple[str, ...]]


def load_partners(stores: Stores, kept: Mapping[str, Partner]) -> dict[str, Partner]:
    """Return the partners that are trusted, by name.

    A partner with terms that cannot be read is left out, though they were checked when they were stored: all of its people are
    refused, and everybody else is judged as ever. A certificate that cannot be read any more is left out alone, and
    told by `find_unread`.

    Args:
        stores: a snapshot.
        kept: what was returned before; a partner of which nothing changed is taken from it.
    """
    found = {}
    signers: dict[_Signer, list[str]] = {}
    for one in stores.partners.every_authority():
        signer = _signer_of(one.der)
        if signer is not None:
            signers.setdefault(signer, []).append(one.id)
    for record in stores.partners.list():
        authorities = stores.partners.authorities(record.id)
        ids = {one.sha256: one.id for one in authorities}
        anchors = frozenset(one.sha256 for one in authorities if one.anchor)
        known = kept.get(record.name)
        with suppress(MalformedInput, ValueError):
            same = known is not None and (known.record, known.authority_ids, known.anchors) == (
                record,
                ids,
                anchors,
            )
            found[record.name] = Partner(
                record=record,
                trust=known.trust if known is not None and same else build_partner_trust(record, authorities),
                authority_ids=ids,
                anchors=anchors,
                namesakes={
                    one.id: tuple(signers[signer])
                    for one in authorities
                    if (signer := _signer_of(one.der)) is not None
                },
            )
    return found


@functools.lru_cache(maxsize=_REMEMBERED)
def _signer_of(der: bytes) -> _Signer | None:
    """Name and key: what signs, by any of its certificates; None if it cannot be read."""
    try:
        parsed = parse_path_certificate(der)
    except MalformedInput:
        return None
    return parsed.subject, parsed.key_bits


def find_unread(authorities: Sequence[PartnerAuthorityRecord]) -> tuple[str, ...]:
    """Return the SHA-256 of each certificate that cannot be read any more: no path leads through it."""
    return tuple(one.sha256 for one in authorities if _signer_of(one.der) is None)


def build_partner_trust(record: PartnerRecord, authorities: Sequence[PartnerAuthorityRecord]) -> PartnerTrust:
    """Return what is trusted of a partner; a certificate that cannot be read is left out.

    Raises:
        MalformedInput: a term cannot be read.
        ValueError: there are too many certificates.
    """
    read = []
    for one in authorities:
        with suppress(MalformedInput):
            read.append((one.anchor, parse_path_certificate(one.der)))
    return PartnerTrust(
        id=record.id,
        name=record.name,
        store=TrustStore(
            [one for anchor, one in read if anchor], [one for anchor, one in read if not anchor]
        ),
        inputs=read_inputs(record.permitted, record.excluded),
        identity=IdentityRule(source=record.source, kind=record.kind, domain=record.domain),
        revocation=record.revocation,
        max_staleness=record.max_staleness,
    )


def read_inputs(permitted: Sequence[str], excluded: Sequence[str]) -> PathInputs:
    """Return what is asked of a partner's paths, with the operator's own name constraints.

    Raises:
        MalformedInput: `subtree-malformed`.

    Standard: RFC 5280 section 6.1.1 (h), (i).
    """
    return PathInputs(
        initial_permitted=tuple(map(parse_subtree, permitted)),
        initial_excluded=tuple(map(parse_subtree, excluded)),
    )
