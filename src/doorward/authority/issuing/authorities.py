"""Issuing the authority's own certificates: root, issuing authority, OCSP responder, cross-certificate.

Not here: their keys and their records (founding). No intent is recorded before the key signs: until the transaction of
the founding commits, there is no authority that anybody could trust.
Standard: RFC 5280 section 4.2.1.9; RFC 6960 section 4.2.2.2.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from doorward.authority.status.publication import PublicationAddresses
from doorward.core.certificate_names import build_subject
from doorward.core.ports import PrivateKey, PublicKey
from doorward.pki.keys import choose_lint_kind
from doorward.pki.minting import (
    MintedCertificate,
    MintingRequest,
    PublicationUrls,
    mint_cross,
    mint_issuing,
    mint_root,
    new_serial,
    prepare,
    sign,
)
from doorward.pki.profiles import CROSS, ISSUING, OCSP_RESPONDER, ROOT, choose_validity
from doorward.stores.services import Services


def certify_root(
    services: Services, *, common_name: str, key: PrivateKey, now: datetime
) -> MintedCertificate:
    """Make a self-signed root certificate; the caller records it in its transaction."""
    return mint_root(
        subject=build_subject(common_name),
        key=key,
        validity=choose_validity(ROOT, now),
        serial=new_serial(services.random),
        lint_key=services.factory.generate(choose_lint_kind(key.public_key())),
    )


def certify_issuing(
    services: Services,
    *,
    common_name: str,
    public_key: PublicKey,
    root: x509.Certificate,
    root_key: PrivateKey,
    addresses: PublicationAddresses,
    now: datetime,
) -> MintedCertificate:
    """Make an issuing authority's certificate, signed by the root; `addresses` are those of the root's CRL and AIA."""
    return mint_issuing(
        subject=build_subject(common_name),
        public_key=public_key,
        validity=choose_validity(ISSUING, now, issuer=root),
        serial=new_serial(services.random),
        issuer=root,
        issuer_key=root_key,
        lint_key=services.factory.generate(choose_lint_kind(root_key.public_key())),
        # No OCSP address: the responder is delegated by the issuing authority and cannot answer for the root.
        urls=PublicationUrls(crl=addresses.crl, ca_issuers=addresses.certificate),
    )


def certify_cross(
    services: Services,
    *,
    root: x509.Certificate,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    addresses: PublicationAddresses,
    now: datetime,
) -> MintedCertificate:
    """Make a certificate of one root's name and key, signed by another root, within the dates of both.

    Args:
        services: the ports of this process.
        root: the self-signed certificate of the root that is certified.
        issuer: the root that signs.
        issuer_key: its key.
        addresses: of the CRL and the certificate of the root that signs.
        now: aware, UTC.

    Standard: RFC 4210 section 4.4 (NewWithOld, OldWithNew); RFC 5280 section 3.2 (cross-certificate).
    """
    left = root.not_valid_after_utc - now.replace(microsecond=0)
    return mint_cross(
        root=root,
        validity=choose_validity(CROSS, now, issuer=issuer, lifetime=min(CROSS.lifetime, left)),
        serial=new_serial(services.random),
        issuer=issuer,
        issuer_key=issuer_key,
        lint_key=services.factory.generate(choose_lint_kind(issuer_key.public_key())),
        urls=PublicationUrls(crl=addresses.crl, ca_issuers=addresses.certificate),
    )


def certify_responder(
    services: Services,
    *,
    common_name: str,
    public_key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    now: datetime,
) -> MintedCertificate:
    """Make the certificate of a delegated OCSP responder (RFC 6960 section 4.2.2.2)."""
    request = MintingRequest(
        profile=OCSP_RESPONDER,
        subject=build_subject(common_name),
        public_key=public_key,
        validity=choose_validity(OCSP_RESPONDER, now, issuer=issuer),
        serial=new_serial(services.random),
        issuer=issuer,
    )
    lint_key = services.factory.generate(choose_lint_kind(issuer_key.public_key()))
    return sign(prepare(request, lint_key), issuer_key)
