"""The only code that makes certificates: prepare (build and lint), then sign.

`prepare` builds the certificate, signs it with a throw-away key of the issuer's algorithm, and lints the result
(pki.lint). `sign` accepts only a result of `prepare` and lets the issuer's key sign exactly the linted bytes: the
to-be-signed part is not built again, so it cannot differ. The issuer's key never signs a certificate that lint
refuses, and the record of intent is stored between the two steps.

Not here: who may have a certificate (authority.issuing.registration), storing intent and result, the keys.
Only authority.issuing may import this module.
Standard: RFC 5280 section 4; the two steps are those of boulder's `Prepare` and `Issue`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from doorward.core.certificate import CertificateFacts
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey, PublicKey, RandomSource
from doorward.pki.facts import describe_certificate
from doorward.pki.keys import check_public_key, choose_builder_hash, encode_public_key
from doorward.pki.lint import lint_certificate
from doorward.pki.profiles import CROSS, ISSUING, NO_REV_AVAIL, ROOT, CertificateProfile, KeyUse, Validity
from doorward.pki.signing import encode_algorithm, sign_structure

_SERIAL_OCTETS = 16
_NULL = b"\x05\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationUrls:
    """Where relying parties find what the issuer publishes; an empty URL is left out of the certificate.

    `crl` and `ocsp` are about certificates of this issuer; `ca_issuers` is the issuer's own certificate.
    """

    crl: str = ""
    ocsp: str = ""
    ca_issuers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintingRequest:
    """One certificate to make; the caller has decided every part of it.

    Args:
        profile: what it may contain; lint compares the rest of the request with it.
        subject: see core.certificate_names.build_subject.
        san: general names; empty for CAs and OCSP responders.
        public_key: the holder's.
        validity: see pki.profiles.choose_validity.
        serial: see new_serial; the caller records it, so that it is never used twice.
        issuer: the signing CA's certificate; None for a root.
        urls: empty for roots, OCSP responders and short-lived certificates.
    """

    profile: CertificateProfile
    subject: x509.Name
    public_key: PublicKey
    validity: Validity
    serial: int
    issuer: x509.Certificate | None
    san: tuple[x509.GeneralName, ...] = ()
    urls: PublicationUrls = PublicationUrls()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCertificate:
    """A certificate that passed lint and is not yet signed by its issuer. Only `prepare` makes these.

    `tbs` is the to-be-signed part in DER; `tbs_sha256` identifies it in the record of intent.
    """

    request: MintingRequest
    issuer_key: PublicKey
    key_kind: str
    tbs: bytes

    @property
    def tbs_sha256(self) -> str:
        """The lower-case hex digest of the to-be-signed part."""
        return hashlib.sha256(self.tbs).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedCertificate:
    """A signed certificate in DER, and its facts."""

    der: bytes
    facts: CertificateFacts
    certificate: x509.Certificate


def new_serial(random: RandomSource) -> int:
    """Return a serial number of 127 bits, 126 of them unpredictable, positive, 16 octets long.

    Unpredictable serials stop an attacker who prepares colliding certificates (done with MD5 in 2008). The fixed
    length keeps columns of a listing aligned.
    Standard: RFC 5280 section 4.1.2.2.
    """
    drawn = int.from_bytes(random.token(_SERIAL_OCTETS))
    return drawn & ((1 << 126) - 1) | (1 << 126)


def prepare(request: MintingRequest, lint_key: PrivateKey) -> PreparedCertificate:
    """Build a certificate and lint it.

    Args:
        request: see `MintingRequest`.
        lint_key: a throw-away key of the kind that pki.keys.choose_lint_kind returns for the issuer. A process may
            use it many times, must not store it, and must not use it as an issuer's key.

    Returns:
        The argument of `sign`.

    Raises:
        RequestRefused: `certificate-refused`, with `faults` in its context: the code of each broken rule;
            `lint-key-refused` if the throw-away key is the issuer's own or of another algorithm.
        MalformedInput: `key-kind-refused` or `key-weak`, for the holder's key or the issuer's.
    """
    _, key_kind = check_public_key(request.public_key)
    issuer_key = request.public_key if request.issuer is None else _find_issuer_key(request.issuer)
    lint_public = lint_key.public_key()
    own = encode_public_key(issuer_key) == encode_public_key(lint_public)
    if own or encode_algorithm(issuer_key) != encode_algorithm(lint_public):
        detail = "lint needs a throw-away key that is not the issuer's key and has the same algorithm"
        raise RequestRefused("lint-key-refused", detail)
    try:
        linted = _build(request).sign(lint_key, choose_builder_hash(lint_key))
    except (ValueError, TypeError, x509.ExtensionNotFound) as fault:
        raise RequestRefused("certificate-refused", f"no certificate can be built: {fault}") from fault
    faults = lint_certificate(linted, request.profile, request.issuer)
    if faults:
        detail = "; ".join(fault.message for fault in faults)
        codes = " ".join(fault.code for fault in faults)
        raise RequestRefused("certificate-refused", f"the certificate breaks rules: {detail}", faults=codes)
    tbs = linted.tbs_certificate_bytes
    return PreparedCertificate(request=request, issuer_key=issuer_key, key_kind=key_kind, tbs=tbs)


def sign(prepared: PreparedCertificate, issuer_key: PrivateKey) -> MintedCertificate:
    """Sign the prepared bytes with the issuer's key.

    Raises:
        IntegrityError: `issuer-key-mismatch` (the issuer certificate has another key; nothing was signed),
            `signature-broken` (a faulty token).
    """
    der = sign_structure(prepared.tbs, issuer_key, prepared.issuer_key)
    certificate = x509.load_der_x509_certificate(der)
    facts = describe_certificate(certificate, prepared.key_kind)
    return MintedCertificate(der=der, facts=facts, certificate=certificate)


@lru_cache(maxsize=64)
def _find_issuer_key(issuer: x509.Certificate) -> PublicKey:
    """Return the issuer's public key, checked."""
    return check_public_key(issuer.public_key())[0]


def mint_root(
    *, subject: x509.Name, key: PrivateKey, validity: Validity, serial: int, lint_key: PrivateKey
) -> MintedCertificate:
    """Return a new self-signed root; raises as `prepare` and `sign` do."""
    request = MintingRequest(
        profile=ROOT,
        subject=subject,
        public_key=key.public_key(),
        validity=validity,
        serial=serial,
        issuer=None,
    )
    return sign(prepare(request, lint_key), key)


def mint_issuing(
    *,
    subject: x509.Name,
    public_key: PublicKey,
    validity: Validity,
    serial: int,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    lint_key: PrivateKey,
    urls: PublicationUrls = PublicationUrls(),
) -> MintedCertificate:
    """Return a new issuing CA's certificate, signed by a root; raises as `prepare` and `sign` do."""
    request = MintingRequest(
        profile=ISSUING,
        subject=subject,
        public_key=public_key,
        validity=validity,
        serial=serial,
        issuer=issuer,
        urls=urls,
    )
    return sign(prepare(request, lint_key), issuer_key)


def mint_cross(
    *,
    root: x509.Certificate,
    validity: Validity,
    serial: int,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    lint_key: PrivateKey,
    urls: PublicationUrls,
) -> MintedCertificate:
    """Return a certificate of a root's name and key, signed by another root; raises as `prepare` and `sign` do."""
    request = MintingRequest(
        profile=CROSS,
        subject=root.subject,
        public_key=check_public_key(root.public_key())[0],
        validity=validity,
        serial=serial,
        issuer=issuer,
        urls=urls,
    )
    return sign(prepare(request, lint_key), issuer_key)


def _build(request: MintingRequest) -> x509.CertificateBuilder:
    """Return the builder of a certificate; the same request always gives the same bytes to sign."""
    builder = _begin(request.profile, request.issuer, request.urls).subject_name(request.subject)
    if request.issuer is None:
        builder = builder.issuer_name(request.subject)
    builder = builder.not_valid_before(request.validity.not_before)
    builder = builder.not_valid_after(request.validity.not_after)
    builder = builder.public_key(request.public_key).serial_number(request.serial)
    identifier = x509.SubjectKeyIdentifier.from_public_key(request.public_key)
    builder = builder.add_extension(identifier, critical=False)
    if request.san:
        builder = builder.add_extension(x509.SubjectAlternativeName(request.san), critical=False)
    return builder


@lru_cache(maxsize=2048)  # for each issuer, profile and set of URLs; a builder is never changed, only copied
def _begin(
    profile: CertificateProfile, issuer: x509.Certificate | None, urls: PublicationUrls
) -> x509.CertificateBuilder:
    """Return a builder with all that the certificates of one profile, issuer and set of URLs have in common."""
    builder = x509.CertificateBuilder()
    if issuer is not None:
        builder = builder.issuer_name(issuer.subject)
    for extension, critical in _list_shared(profile, issuer, urls):
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _list_shared(
    profile: CertificateProfile, issuer: x509.Certificate | None, urls: PublicationUrls
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of `_begin` with their criticality, in a fixed order."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length), True),
        (_build_key_usage(profile), True),
    ]
    if profile.extended_key_usage:
        extensions.append((x509.ExtendedKeyUsage(profile.extended_key_usage), False))
    if issuer is not None:
        above = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
        extensions.append((authority, False))
        extensions += _list_pointers(urls)
    if profile.no_check:
        extensions.append((x509.OCSPNoCheck(), False))
    if profile.no_revocation:  # RFC 9608 section 2: never critical, its value is NULL
        extensions.append((x509.UnrecognizedExtension(NO_REV_AVAIL, _NULL), False))
    return extensions


def _list_pointers(urls: PublicationUrls) -> list[tuple[x509.ExtensionType, bool]]:
    """Return authority information access and CRL distribution points, each only if it has a URL."""
    methods = (
        (AuthorityInformationAccessOID.OCSP, urls.ocsp),
        (AuthorityInformationAccessOID.CA_ISSUERS, urls.ca_issuers),
    )
    access = [x509.AccessDescription(oid, x509.UniformResourceIdentifier(url)) for oid, url in methods if url]
    pointers: list[tuple[x509.ExtensionType, bool]] = []
    if access:
        pointers.append((x509.AuthorityInformationAccess(access), False))
    if urls.crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(urls.crl)], None, None, None)
        pointers.append((x509.CRLDistributionPoints([point]), False))
    return pointers


def _build_key_usage(profile: CertificateProfile) -> x509.KeyUsage:
    """Return the keyUsage extension of a profile."""
    return x509.KeyUsage(
        digital_signature=KeyUse.DIGITAL_SIGNATURE in profile.key_usage,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=KeyUse.KEY_CERT_SIGN in profile.key_usage,
        crl_sign=KeyUse.CRL_SIGN in profile.key_usage,
        encipher_only=False,
        decipher_only=False,
    )
