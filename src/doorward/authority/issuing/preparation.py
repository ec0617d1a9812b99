"""Preparing a certificate: the bytes to be signed, the record of the intent, and the events of issuing.

Not here: the order of the steps (certificates), entitlements (claims).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from doorward.audit.events import Event, EventType, printable
from doorward.authority.issuing.claims import Claim, Entitlement
from doorward.authority.status.ocsp_responses import OcspSigner, signer_if_any
from doorward.authority.status.partitions import partition_names, partition_of
from doorward.authority.status.publication import publication_addresses
from doorward.core.certificate import CertificateFacts, CertificateState
from doorward.core.certificate_names import build_subject
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError
from doorward.core.names import COMMON_NAME_LIMIT
from doorward.core.ports import PrivateKey
from doorward.pki.csr import CertificationRequest
from doorward.pki.keys import choose_lint_kind, digest_public_key
from doorward.pki.minting import MintingRequest, PreparedCertificate, PublicationUrls, new_serial, prepare
from doorward.pki.profiles import choose_short_life, choose_validity
from doorward.stores.events import new_event
from doorward.stores.prerequisites import issuing_chain, load_key, require_authority, require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CertificateRecord, TenantRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningContext:
    """What signing needs, from one snapshot: the authority, its certificate and key, the addresses.

    `chain` is what is sent with a leaf, DER. `signer` is None while no OCSP responses can be signed; a certificate is issued without them. `partitions`
    is the number of CRL partitions that certificates may name now.
    """

    tenant: TenantRecord
    authority: AuthorityRecord
    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[bytes, ...]
    lint_key: PrivateKey
    signer: OcspSigner | None
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedCertificate:
    """A certificate between its preparation and its issue; `holder` is the principal or gateway named in its events."""

    prepared: PreparedCertificate
    record: CertificateRecord
    holder: str
    key_kind: str
    actor: str


def load_signing_context(services: Services, stores: Stores) -> SigningContext:
    """Return the context of signing; raise `NotFound` (`not-founded`) or `Unavailable` (`keys-unavailable`)."""
    tenant = require_tenant(stores)
    authority = require_authority(stores, AuthorityKind.ISSUING)
    key = load_key(services, authority)
    return SigningContext(
        tenant=tenant,
        authority=authority,
        certificate=x509.load_der_x509_certificate(authority.der),
        key=key,
        chain=issuing_chain(stores, authority.id),
        lint_key=services.factory.generate(choose_lint_kind(key.public_key())),
        signer=signer_if_any(services, stores),
        partitions=_find_division(services, stores, authority.id),
    )


def _find_division(services: Services, stores: Stores, authority_id: str) -> int:
    """Return the number of CRL partitions that a certificate may name: 1 until the CRLs of a new division exist.

    An address in a certificate can never be changed, so a certificate must not name a CRL that does not exist yet. All
    CRLs of a division are stored in one transaction: if the first one exists, all exist.
    """
    count = services.crl_partitions
    if count > 1 and stores.status.crl_number(authority_id, partition_names(count)[0]) is None:
        return 1
    return count


def prepare_certificate(
    services: Services,
    context: SigningContext,
    entitlement: Entitlement,
    request: CertificationRequest,
    claim: Claim,
    *,
    now: datetime,
) -> IntendedCertificate:
    """Step 2: build the certificate from the entitlement and the key of the request.

    The record of the intent holds the bytes that will be signed, and their digest. `now` is the same for a whole batch, so that
    what depends on it alone is rendered once.
    """
    lifetime = min(entitlement.lifetime, services.lifetime_of(entitlement.profile))
    profile = choose_short_life(entitlement.profile, lifetime)
    validity = choose_validity(profile, now, issuer=context.certificate, lifetime=lifetime)
    serial = new_serial(services.random)
    partition = partition_of(serial, context.partitions)
    addresses = publication_addresses(context.tenant.status_url, context.authority.id, partition)
    common_name = entitlement.subject[:COMMON_NAME_LIMIT]
    urls = PublicationUrls(crl=addresses.crl, ocsp=addresses.ocsp, ca_issuers=addresses.certificate)
    prepared = prepare(
        MintingRequest(
            profile=profile,
            subject=build_subject(common_name),
            public_key=request.public_key,
            validity=validity,
            serial=serial,
            issuer=context.certificate,
            san=entitlement.names,
            urls=PublicationUrls() if profile.no_revocation else urls,
        ),
        context.lint_key,
    )
    record = CertificateRecord(
        id=services.new_id("crt"),
        tenant=TENANT,
        authority_id=context.authority.id,
        serial=serial,
        sha256=prepared.tbs_sha256,
        profile=entitlement.profile.name,
        state=CertificateState.INTENDED,
        not_before=validity.not_before,
        not_after=validity.not_after,
        der=prepared.tbs,
        created_at=now,
        principal_id=entitlement.principal_id,
        subject_name=common_name,
        replaces=entitlement.replaces,
        spki_sha256=digest_public_key(request.public_key),
    )
    return IntendedCertificate(
        prepared=prepared, record=record, holder=claim.holder, key_kind=request.key_kind, actor=claim.actor
    )


def new_certificate_event(
    services: Services,
    kind: EventType,
    intended: IntendedCertificate,
    *,
    at: datetime,
    facts: CertificateFacts | None = None,
) -> Event:
    """Return an event about an intended certificate; `facts` are known after it is signed. Events of one `at` are a block."""
    record = intended.record
    data: dict[str, str | datetime] = {
        "certificate": record.id,
        "principal": intended.holder,
        "authority": record.authority_id,
        "serial": f"{record.serial:x}",
        "profile": record.profile,
        "key_kind": intended.key_kind,
        "not_before": record.not_before,
        "not_after": record.not_after,
    }
    personal = {"name": printable(record.subject_name)}
    if facts is not None:
        data["sha256"] = facts.sha256
        personal["subject"] = printable(facts.subject)
        personal["san"] = printable(", ".join(facts.san))
    if kind is EventType.CERTIFICATE_RENEWED:
        data["replaces"] = record.replaces
    return new_event(services, kind, actor=intended.actor, data=data, personal=personal, at=at)


def new_refusal_event(services: Services, refusal: DoorwardError, claim: Claim) -> Event:
    """Return the event of a refusal."""
    return new_event(
        services,
        EventType.CERTIFICATE_REFUSED,
        actor=claim.actor,
        data={"reasons": [refusal.code], "principal": claim.holder},
        personal={"name": printable(claim.name)},
    )
