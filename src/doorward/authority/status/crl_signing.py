"""Signs complete CRLs and deltas, and stores them in one transaction.

A complete CRL and its delta share one sequence of numbers. If they are made together, they are made from one snapshot, have
one number and say the same (RFC 5280 section 5.2.4). So both are stored or none: none if the scope has got a newer
number meanwhile.

Not here: which CRLs are due (crls), what a delta lists (crl_deltas), the format (pki.crl).
Standard: RFC 5280 sections 5.2.3 to 5.2.6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from doorward.audit.events import EventType
from doorward.authority.status.partitions import FULL, delta_of, scope_of
from doorward.authority.status.publication import publication_addresses
from doorward.core.entities import TENANT
from doorward.core.ports import PrivateKey
from doorward.pki.crl import build_crl, sign_crl
from doorward.stores.events import new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityRecord, CrlBase, CrlRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlSigner:
    """What every CRL of one batch has in common."""

    issuing: AuthorityRecord
    key: PrivateKey
    status_url: str
    now: datetime
    through: int


@dataclass(slots=True, kw_only=True)
class ScopePlan:
    """The CRLs of one scope that are made together, from one snapshot.

    Args:
        scope: the name of the complete CRL.
        number: of each of them.
        entries: of the complete CRL, in DER; None if it is not made. `sign_plans` takes them away.
        end: nextUpdate of the complete CRL.
        own: the base that the complete CRL becomes; None if it names no delta.
        base: the complete CRL that the delta extends; None if no delta is made, and then the stored one is removed.
        changes: the entries of the delta, in DER.
        delta_end: nextUpdate of the delta.
    """

    scope: str
    number: int
    entries: list[bytes] | None
    end: datetime
    own: CrlBase | None
    base: CrlBase | None
    changes: list[bytes]
    delta_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedScope:
    """The signed CRLs of one plan, each with the number of its entries, the complete one first."""

    plan: ScopePlan
    crls: tuple[tuple[CrlRecord, int], ...]


def sign_plans(signer: CrlSigner, plans: Iterable[ScopePlan]) -> Iterator[SignedScope]:
    """Yield the signed CRLs of each scope; entries are not kept after their CRL was signed: there may be a million."""
    issuer = x509.load_der_x509_certificate(signer.issuing.der)
    for plan in plans:
        crls = []
        if plan.entries is not None:
            size, entries, plan.entries = len(plan.entries), plan.entries, None
            crls.append((_sign(signer, issuer, plan, entries), size))
            del entries
        if plan.base is not None:
            crls.append((_sign(signer, issuer, plan, plan.changes, base=plan.base), len(plan.changes)))
        yield SignedScope(plan=plan, crls=tuple(crls))


def _sign(
    signer: CrlSigner,
    issuer: x509.Certificate,
    plan: ScopePlan,
    entries: list[bytes],
    *,
    base: CrlBase | None = None,
) -> CrlRecord:
    """Return a signed complete CRL, or with a base a delta."""
    authority, delta = signer.issuing.id, delta_of(plan.scope)
    end = plan.end if base is None else plan.delta_end
    own, of_delta = (
        publication_addresses(signer.status_url, authority, one).crl for one in (plan.scope, delta)
    )
    unsigned = build_crl(
        issuer,
        entries,
        number=plan.number,
        this_update=signer.now,
        next_update=end,
        distribution_point="" if plan.scope == FULL else own,
        base_number=None if base is None else base.number,
        delta_address=of_delta if base is None and plan.own is not None else "",
    )
    return CrlRecord(
        authority_id=authority,
        partition=plan.scope if base is None else delta,
        tenant=TENANT,
        number=plan.number,
        der=sign_crl(unsigned, signer.key),
        this_update=signer.now,
        next_update=end,
        through_seq=signer.through,
    )


def store_scope(
    services: Services, stores: Stores, signed: SignedScope, *, actor: str, now: datetime
) -> None:
    """Store the CRLs of one scope with their events, and the bases that its next delta may have."""
    plan, authority_id = signed.plan, signed.crls[0][0].authority_id
    for crl, size in signed.crls:
        base = plan.base.number if plan.base is not None and crl.partition != plan.scope else None
        store_list(services, stores, crl, entries=size, actor=actor, base=base)
    if plan.own is not None:
        stores.deltas.add_base(plan.own)
    if plan.base is None:
        stores.deltas.end(authority_id, delta_of(plan.scope))
    before = plan.number if plan.base is None else plan.base.number
    stores.deltas.drop_bases(authority_id, plan.scope, before=before, now=now)


def store_list(
    services: Services, stores: Stores, crl: CrlRecord, *, entries: int, actor: str, base: int | None = None
) -> None:
    """Store a CRL and its event, in the caller's transaction.

    Raises:
        IntegrityError: `crl-number`: its number is not larger than the stored one.
    """
    stores.status.store_crl(crl)
    data: dict[str, str | int | datetime] = {
        "authority": crl.authority_id,
        "partition": scope_of(crl.partition),
        "sha256": hashlib.sha256(crl.der).hexdigest(),
        "number": crl.number,
        "entries": entries,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
    }
    if base is not None:
        data["base_number"] = base
    stores.outbox.add(new_event(services, EventType.CRL_PUBLISHED, actor=actor, data=data))
