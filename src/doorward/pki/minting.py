"""The only code that makes certificates: prepare (build and lint), then sign.

`prepare` builds the certificate, signs it with a throw-away key whose signatures look like the issuer's,
and runs pki.lint on that. `sign` takes only what `prepare` returned and has the issuer's key sign those
very bytes: the linted to-be-signed part is not built a second time, so nothing can differ. The issuer's
key never sees a certificate that lint refuses, and the record of intent is stored between the two steps.

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
from doorward.pki.profiles import ISSUING, ROOT, CertificateProfile, KeyUse, Validity
from doorward.pki.signing import encode_algorithm, sign_structure

_SERIAL_OCTETS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationUrls:
    """Where relying parties find what the issuer publishes; empty leaves the pointer out.

    `crl` and `ocsp` speak of certificates by this issuer; `ca_issuers` is the issuer's own certificate.
    """

    crl: str = ""
    ocsp: str = ""
    ca_issuers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintingRequest:
    """One certificate to make, decided by the caller in every part.

    Args:
        profile: what it may say; lint holds the rest of the request against it.
        subject: see core.names.build_subject.
        san: general names; empty for CAs and OCSP responders.
        public_key: the holder's.
        validity: see pki.profiles.choose_validity.
        serial: see new_serial; recorded by the caller, so that it is never used twice.
        issuer: the signing CA's certificate; None for a root.
        urls: empty for roots and OCSP responders.
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
    """A certificate that passed lint and waits for its issuer's signature. Only `prepare` makes these.

    `tbs` is what will be signed, in DER; `tbs_sha256` names it in the record of intent.
    """

    request: MintingRequest
    issuer_key: PublicKey
    key_kind: str
    tbs: bytes

    @property
    def tbs_sha256(self) -> str:
        """The lower-case hex digest of what will be signed."""
        return hashlib.sha256(self.tbs).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedCertificate:
    """A signed certificate in DER, and the facts of it."""

    der: bytes
    facts: CertificateFacts
    certificate: x509.Certificate


def new_serial(random: RandomSource) -> int:
    """Return a serial number of 127 bits, 126 of them unpredictable, positive, 16 octets long.

    Unpredictable serials stop an attacker who prepares colliding certificates (as was done with MD5 in
    2008); a fixed length keeps indexes and listings even.
    Standard: RFC 5280 section 4.1.2.2.
    """
    drawn = int.from_bytes(random.token(_SERIAL_OCTETS))
    return drawn & ((1 << 126) - 1) | (1 << 126)


def prepare(request: MintingRequest, lint_key: PrivateKey) -> PreparedCertificate:
    """Build a certificate and lint it.

    Args:
        request: see `MintingRequest`.
        lint_key: a throw-away key of the kind that pki.keys.choose_lint_kind names for the issuer. It may
            serve a whole process, must never be stored, and is never anybody's issuer.

    Returns:
        What `sign` accepts.

    Raises:
        RequestRefused: `certificate-refused`, with `faults` in its context: the code of every broken rule;
            `lint-key-refused` where the throw-away key is the issuer's own or signs in another way.
        MalformedInput: `key-kind-refused` or `key-weak`, for the holder's key or the issuer's.
    """
    _, key_kind = check_public_key(request.public_key)
    issuer_key = request.public_key if request.issuer is None else _find_issuer_key(request.issuer)
    lint_public = lint_key.public_key()
    own = encode_public_key(issuer_key) == encode_public_key(lint_public)
    if own or encode_algorithm(issuer_key) != encode_algorithm(lint_public):
        raise RequestRefused("lint-key-refused", "lint wants a throw-away key that signs like the issuer's")
    try:
        linted = _build(request).sign(lint_key, choose_builder_hash(lint_key))
    except (ValueError, TypeError, x509.ExtensionNotFound) as fault:
        raise RequestRefused("certificate-refused", f"no certificate can say this: {fault}") from fault
    faults = lint_certificate(linted, request.profile, request.issuer)
    if faults:
        detail = "; ".join(fault.message for fault in faults)
        codes = " ".join(fault.code for fault in faults)
        raise RequestRefused("certificate-refused", f"the certificate breaks a rule: {detail}", faults=codes)
    tbs = linted.tbs_certificate_bytes
    return PreparedCertificate(request=request, issuer_key=issuer_key, key_kind=key_kind, tbs=tbs)


def sign(prepared: PreparedCertificate, issuer_key: PrivateKey) -> MintedCertificate:
    """Sign what was prepared, byte for byte, with the issuer's key.

    Raises:
        IntegrityError: `issuer-key-mismatch` (the key is not the issuer certificate's; nothing was signed),
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


def _build(request: MintingRequest) -> x509.CertificateBuilder:
    """Return the builder of a certificate; the same request always gives the same bytes to sign."""
    issuer_name = request.subject if request.issuer is None else request.issuer.subject
    builder = x509.CertificateBuilder().issuer_name(issuer_name).subject_name(request.subject)
    builder = builder.not_valid_before(request.validity.not_before)
    builder = builder.not_valid_after(request.validity.not_after)
    builder = builder.public_key(request.public_key).serial_number(request.serial)
    for extension, critical in _list_extensions(request):
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _list_extensions(request: MintingRequest) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of a certificate with their criticality, in a fixed order."""
    own: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(request.public_key), False)
    ]
    if request.san:
        own.append((x509.SubjectAlternativeName(request.san), False))
    return [*_list_shared(request.profile, request.issuer, request.urls), *own]


@lru_cache(maxsize=2048)  # an entry per issuer, profile and list; building anew takes a fifth of `prepare`
def _list_shared(
    profile: CertificateProfile, issuer: x509.Certificate | None, urls: PublicationUrls
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """Return the extensions that all certificates of one profile and issuer have in common."""
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
    return tuple(extensions)


def _list_pointers(urls: PublicationUrls) -> list[tuple[x509.ExtensionType, bool]]:
    """Return authority information access and CRL distribution points, as far as there are any."""
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
