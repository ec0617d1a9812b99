"""CRLs and OCSP answers for tests, wrong on purpose if asked; never by the product's own making.

list_of(issuing, 7)                                   # a CRL that lists serial 7
list_of(issuing, scope=scope(indirect_crl=True))      # of another scope
answer_about(leaf, issuing)                           # good, signed by the issuer
answer_about(leaf, issuing, responder=delegate)       # by a delegated responder
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.verification.revocation.crl import Crl, parse_crl
from tests.support.certificates.issuing import CertifiedKey, Extensions, signing_hash
from tests.support.ports import NOON

HOUR = timedelta(hours=1)


def entry(
    serial: int, reason: x509.ReasonFlags | None = None, *extra: tuple[x509.ExtensionType, bool]
) -> x509.RevokedCertificate:
    """One entry of a CRL."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOON - HOUR)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return builder.build()


def listed_for(issuer: CertifiedKey) -> tuple[x509.ExtensionType, bool]:
    """The entry's extension that names another issuer (indirect CRLs)."""
    return x509.CertificateIssuer([x509.DirectoryName(issuer.certificate.subject)]), True


def scope(**words: Any) -> x509.IssuingDistributionPoint:
    """An issuingDistributionPoint; everything by default."""
    plain: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**plain, **words})


def crl_of(
    issuer: CertifiedKey,
    *entries: int | x509.RevokedCertificate,
    number: int | None = 1,
    base: int | None = None,
    scope: x509.IssuingDistributionPoint | None = None,
    this_update: datetime = NOON - HOUR,
    next_update: datetime | None = NOON + HOUR,
    extra: Extensions = (),
    signer: Any = None,
) -> bytes:
    """A CRL in DER, complete unless `base` is given."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(this_update).next_update(next_update or NOON + HOUR)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    if scope is not None:
        builder = builder.add_extension(scope, critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    for one in entries:
        builder = builder.add_revoked_certificate(entry(one) if isinstance(one, int) else one)
    key = signer or issuer.key
    return builder.sign(key, signing_hash(key)).public_bytes(Encoding.DER)


def list_of(issuer: CertifiedKey, *entries: int | x509.RevokedCertificate, **options: Any) -> Crl:
    """The same, parsed."""
    return parse_crl(crl_of(issuer, *entries, **options))


def answer_about(
    node: CertifiedKey,
    issuer: CertifiedKey,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    reason: x509.ReasonFlags | None = None,
    responder: CertifiedKey | None = None,
    named: CertifiedKey | None = None,
    by_name: bool = False,
    included: Sequence[CertifiedKey] | None = None,
    hash_algorithm: hashes.HashAlgorithm | None = None,
    this_update: datetime = NOON - HOUR,
    next_update: datetime | None = NOON + HOUR,
    nonce: bytes | None = None,
    signer: Any = None,
) -> bytes:
    """An OCSPResponse in DER about one certificate.

    `responder` signs and its certificate is included, unless `included` says otherwise; the answer
    names `named` as its responder.
    """
    signing = responder or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=node.certificate,
        issuer=issuer.certificate,
        algorithm=hash_algorithm or hashes.SHA1(),
        cert_status=status,
        this_update=this_update,
        next_update=next_update,
        revocation_time=NOON - HOUR if status is ocsp.OCSPCertStatus.REVOKED else None,
        revocation_reason=reason,
    )
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = builder.responder_id(encoding, (named or signing).certificate)
    certificates = [one.certificate for one in included or ([responder] if responder else [])]
    if certificates:
        builder = builder.certificates(certificates)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    key = signer or signing.key
    return builder.sign(key, signing_hash(key)).public_bytes(Encoding.DER)
