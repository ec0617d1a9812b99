"""Records for the stores, with good defaults; a test replaces the values that it is about."""

# ruff: noqa: D103 - the names say it all

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.stores.partner_records import (
    EvidenceKind,
    EvidenceRecord,
    PartnerAuthorityRecord,
    PartnerRecord,
)
from doorward.stores.records import (
    AuthorityKind,
    AuthorityRecord,
    CertificateRecord,
    CrlRecord,
    GatewayRecord,
    InvitationRecord,
    OcspRecord,
    OrderRecord,
    OrderState,
    RevisionRecord,
    TenantRecord,
)
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode
from doorward.verification.revocation.crl import parse_crl
from doorward.verification.revocation.status import RecordedRevocation
from tests.support.ports import NOON

YEAR = timedelta(days=365)


def opaque(prefix: str, name: str) -> str:
    """Return an id made from a name."""
    return f"{prefix}_{hashlib.sha256(name.encode()).hexdigest()[:20]}"


def digest(name: str) -> str:
    """Return a SHA-256 in hex made from a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def tenant() -> TenantRecord:
    return TenantRecord(
        id=TENANT, trust_domain="corp.example", status_url="http://status.corp.example", created_at=NOON
    )


def principal(name: str, kind: PrincipalKind = PrincipalKind.PERSON, **changed: Any) -> Principal:
    made = Principal(
        id=opaque(kind.prefix, name), tenant=TENANT, kind=kind, name=name, state=PrincipalState.ACTIVE
    )
    return replace(made, **changed)


def authority(name: str, kind: AuthorityKind = AuthorityKind.ISSUING, **changed: Any) -> AuthorityRecord:
    made = AuthorityRecord(
        id=opaque("aut", name),
        tenant=TENANT,
        kind=kind,
        der=name.encode(),
        key_name=name,
        created_at=NOON,
        not_after=NOON + YEAR,
        current=True,
    )
    return replace(made, **changed)


def certificate(number: int, **changed: Any) -> CertificateRecord:
    made = CertificateRecord(
        id=f"crt_{number:020d}",
        tenant=TENANT,
        authority_id=opaque("aut", "issuing"),
        serial=0x7F00_0000_0000_0000_0000_0000_0000_0000_0000_0000 + number,
        sha256=digest(f"intended {number}"),
        profile="person",
        state=CertificateState.INTENDED,
        not_before=NOON,
        not_after=NOON + YEAR,
        der=b"linted %d" % number,
        created_at=NOON + timedelta(seconds=number),
        principal_id=opaque("per", "alice"),
        subject_name="CN=alice",
    )
    return replace(made, **changed)


def invitation(name: str, **changed: Any) -> InvitationRecord:
    made = InvitationRecord(
        id=opaque("inv", name),
        tenant=TENANT,
        principal_id=opaque("per", "alice"),
        token_sha256=digest(name),
        created_at=NOON,
        expires_at=NOON + timedelta(hours=1),
    )
    return replace(made, **changed)


def revision(number: int, **changed: Any) -> RevisionRecord:
    made = RevisionRecord(
        number=number,
        tenant=TENANT,
        document="apps: {}\n",
        sha256=digest(str(number)),
        actor="os:0",
        created_at=NOON,
    )
    return replace(made, **changed)


def gateway(name: str, **changed: Any) -> GatewayRecord:
    made = GatewayRecord(
        id=opaque("gtw", name),
        tenant=TENANT,
        name=name,
        confirmed_seq=0,
        seen_at=NOON,
        status="starting",
        assertion_jwk="{}",
    )
    return replace(made, **changed)


def order(name: str, **changed: Any) -> OrderRecord:
    made = OrderRecord(
        id=opaque("ord", name),
        tenant=TENANT,
        gateway_id=opaque("gtw", "one"),
        purpose="application",
        hosts=("a.corp.example", "b.corp.example"),
        csr=b"csr",
        state=OrderState.OPEN,
        created_at=NOON,
    )
    return replace(made, **changed)


def crl(number: int, **changed: Any) -> CrlRecord:
    made = CrlRecord(
        authority_id=opaque("aut", "issuing"),
        tenant=TENANT,
        number=number,
        der=b"crl %d" % number,
        this_update=NOON,
        next_update=NOON + timedelta(days=1),
        through_seq=number,
    )
    return replace(made, **changed)


def ocsp(number: int, hash_name: str = "sha256", **changed: Any) -> OcspRecord:
    made = OcspRecord(
        certificate_id=f"crt_{number:020d}",
        hash_name=hash_name,
        der=b"good",
        next_update=NOON + timedelta(hours=12),
    )
    return replace(made, **changed)


def partner(name: str, **changed: Any) -> PartnerRecord:
    made = PartnerRecord(
        id=opaque("ptn", name),
        tenant=TENANT,
        name=name,
        revocation=RevocationMode.REQUIRE,
        max_staleness=timedelta(0),
        refresh=timedelta(hours=1),
        allow_private=(),
        source=SanSource.EMAIL,
        kind=PrincipalKind.PERSON,
        domain="clinic.example",
        groups=("clinicians",),
        everyone=False,
        permitted=("email:clinic.example",),
        excluded=(),
        created_at=NOON,
    )
    return replace(made, **changed)


def partner_authority(partner: str, name: str, *, anchor: bool = True) -> PartnerAuthorityRecord:
    return PartnerAuthorityRecord(
        id=opaque("aut", f"{partner} {name}"),
        tenant=TENANT,
        partner_id=opaque("ptn", partner),
        sha256=digest(name),
        anchor=anchor,
        der=name.encode(),
        not_after=NOON + YEAR,
        created_at=NOON,
    )


def evidence(partner: str, source: str, **changed: Any) -> EvidenceRecord:
    made = EvidenceRecord(
        partner_id=opaque("ptn", partner),
        tenant=TENANT,
        kind=EvidenceKind.CRL,
        source=source,
        about="",
        try_at=NOON,
        der=b"crl",
        sha256=digest("crl"),
        this_update=NOON,
        next_update=NOON + timedelta(days=1),
        fetched_at=NOON,
    )
    return replace(made, **changed)


def fetched_crl(partner_id: str, source: str, der: bytes, at: datetime) -> EvidenceRecord:
    """Return the record of a CRL that was fetched at a moment and is due a day later."""
    crl = parse_crl(der)
    return EvidenceRecord(
        partner_id=partner_id,
        tenant=TENANT,
        kind=EvidenceKind.CRL,
        source=source,
        about="",
        try_at=at + timedelta(days=1),
        der=der,
        sha256=hashlib.sha256(der).hexdigest(),
        this_update=crl.this_update,
        next_update=crl.next_update,
        fetched_at=at,
    )


def seen(issuer_key: str, serial: int, certificate: str, **changed: Any) -> RecordedRevocation:
    """Return a final revocation that was recorded at noon."""
    plain: dict[str, Any] = {
        "held": False,
        "reason": "key-compromise",
        "this_update": NOON,
        "evidence": digest("evidence"),
    }
    return RecordedRevocation(
        issuer_key=issuer_key, serial=serial, certificate=certificate, **{**plain, **changed}
    )
