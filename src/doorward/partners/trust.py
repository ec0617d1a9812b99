"""Building the `PartnerTrust` of each partner from its records; it is cached until a record changes.

There are three types: the stored records of the partner and its authorities (`stores.partner_records`);
`PartnerTrust`, which is built from them here and is the only input of judging; and `PartnerJudgement`, the result.
Parsing a certificate and verifying its signature costs milliseconds, so an unchanged `PartnerTrust` is kept, with the
verified signatures in its trust store. Connections and evidence use the same `PartnerTrust`.

Not here: the evidence of revocation (`evidence_cache`, `evidence`), judging (`judging`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.stores.partner_records import PartnerAuthorityRecord, PartnerRecord
from doorward.stores.protocols import Stores
from doorward.verification.identity import IdentityRule
from doorward.verification.partner import PartnerTrust
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.store import TrustStore
from doorward.verification.path.subtree_text import parse_subtree
from doorward.verification.path.validation import CertificationPath

_PARTNERS, _AUTHORITIES = 256, 4096
"""Sizes of the caches of built trusts and of parsed certificates."""

_Signer = tuple[CanonicalName, bytes]


def load_partners(stores: Stores) -> dict[str, PartnerTrust]:
    """Return the trust of each partner, by name.

    A partner with terms that cannot be parsed (they were valid when they were stored) is left out: its principals
    are refused, and all others are judged as usual. If a certificate cannot be parsed, only the certificate is left out,
    and `find_unread` returns it.
    """
    found = {}
    signers: dict[_Signer, list[str]] = {}
    every, records = stores.partners.every_authority(), stores.partners.list()
    ids = {one.partner_id for one in every}
    names = {one: partner.name for one in ids if (partner := stores.partners.get(one)) is not None}
    for one in every:
        signer = _signer_of(one.der)
        if signer is not None:
            signers.setdefault(signer, []).append(one.id)
    for record in records:
        authorities = stores.partners.authorities(record.id)
        trust = trust_of(record, authorities)
        if trust is not None:
            namesakes = {
                one.id: tuple(signers[signer])
                for one in authorities
                if (signer := _signer_of(one.der)) is not None
            }
            others = frozenset(one.id for one in every if names.get(one.partner_id) != record.name)
            found[record.name] = replace(trust, namesakes=namesakes, others=others)
    return found


def trust_of(record: PartnerRecord, authorities: Iterable[PartnerAuthorityRecord]) -> PartnerTrust | None:
    """Return the trust of a partner, without namesakes; None if its terms cannot be parsed.

    Its principals are then refused; the evidence of other partners is fetched as usual.
    """
    return _build(record, tuple(authorities))


@functools.lru_cache(maxsize=_PARTNERS)
def _build(record: PartnerRecord, authorities: tuple[PartnerAuthorityRecord, ...]) -> PartnerTrust | None:
    try:
        return build_partner_trust(record, authorities)
    except (MalformedInput, ValueError):
        return None


def find_path(trust: PartnerTrust, certificate: PathCertificate, now: datetime) -> CertificationPath:
    """Return a path of a certificate that is good now, leaf first, for any purpose; empty if there is none."""
    judgement = judge_path(certificate, trust.store, replace(trust.inputs, purpose=None), now)
    return judgement.path if judgement.outcome is Outcome.GOOD else ()


def find_issuer(trust: PartnerTrust, certificate: PathCertificate, now: datetime) -> PathCertificate | None:
    """Return the issuer of a certificate that has a good path now; None if it has none.

    Nothing is ever fetched for a certificate without a good path: anybody could have written its addresses.
    """
    path = find_path(trust, certificate, now)
    return path[1] if path else None


def parse_if_sound(der: bytes) -> PathCertificate | None:
    """Return the parsed certificate; None if it cannot be parsed."""
    try:
        return parse_path_certificate(der)
    except MalformedInput:
        return None


@functools.lru_cache(maxsize=_AUTHORITIES)
def _signer_of(der: bytes) -> _Signer | None:
    """Return name and key of an authority, which all of its certificates share; None if it cannot be parsed."""
    parsed = parse_if_sound(der)
    return None if parsed is None else (parsed.subject, parsed.key_bits)


def find_unread(authorities: Sequence[PartnerAuthorityRecord]) -> tuple[str, ...]:
    """Return the SHA-256 of each certificate that cannot be parsed any more; it is not used for paths."""
    return tuple(one.sha256 for one in authorities if _signer_of(one.der) is None)


def build_partner_trust(record: PartnerRecord, authorities: Sequence[PartnerAuthorityRecord]) -> PartnerTrust:
    """Return the trust of a partner; a certificate that cannot be parsed is left out.

    Raises:
        MalformedInput: a term cannot be parsed.
        ValueError: there are too many certificates.
    """
    every = ((one.anchor, parse_if_sound(one.der)) for one in authorities)
    read = [(anchor, one) for anchor, one in every if one is not None]
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
        short_lived=record.short_lived,
        groups=record.groups,
        authority_ids={one.sha256: one.id for one in authorities},
    )


def read_inputs(permitted: Sequence[str], excluded: Sequence[str]) -> PathInputs:
    """Return the inputs of path validation for a partner: the operator's name constraints.

    Raises:
        MalformedInput: `subtree-malformed`.

    Standard: RFC 5280 section 6.1.1 (h), (i).
    """
    return PathInputs(
        initial_permitted=tuple(map(parse_subtree, permitted)),
        initial_excluded=tuple(map(parse_subtree, excluded)),
    )
