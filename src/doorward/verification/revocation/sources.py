"""Where a certificate's revocation can be looked up, which issuers' CRLs may be there, and the OCSP request to send.

Not here: sending requests (a `Fetcher`), which addresses may be contacted (runtime), judging the responses.
The maker of a certificate chooses these addresses, so they must be used only after its path was found good.
- CRLs: the full names of its distribution points that are http or https URLs. A name relative to the CRL issuer,
  a directory name and LDAP lead to directories, which are not asked. A URL that is not printable ASCII is not used
  either, because code that stores, counts or logs addresses could fail on it.
- Which issuers' CRLs may be there: `may_serve`.
- OCSP: the http and https URLs of its authority information access.
- The OCSP request: one certificate, identified by SHA-1 hashes, which every responder supports, and not signed (RFC
  5019 section 2.1). Security does not depend on SHA-1 here: the response is compared with name and key again.

Standard: RFC 5280 sections 4.2.1.13, 4.2.2.1 and 6.3.3 (b); RFC 6960 section 4.1; RFC 5019 section 2.1; RFC 9654.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from doorward.core.errors import MalformedInput
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.names import canonicalise_name
from doorward.verification.revocation.crl import Crl

SOURCE_LIMIT = 8
"""URLs of one kind in one certificate. Honest certificates have one or two."""
URL_LIMIT = 2048
"""Characters."""

_SCHEMES = ("http://", "https://")
_PRINTABLE = re.compile(r"[!-~]+")


def crl_urls(certificate: PathCertificate) -> tuple[str, ...]:
    """Return the URLs of its CRLs, in its order, without duplicates, at most 8.

    Standard: RFC 5280 section 4.2.1.13.
    """
    return _pick(name for point in certificate.crl_points for name in point.full_name or ())


def may_serve(certificate: PathCertificate, url: str, crl: Crl) -> bool:
    """Return whether a certificate accepts, at a URL, a CRL of this issuer.

    The CRL's issuer must be the certificate's issuer. If the distribution point with the URL names another CRL issuer, the
    CRL must be from that one and indirect. Otherwise the maker of a certificate could, by naming it, use the CRL of any
    other authority for it.

    Not checked: the rest of its scope.
    Standard: RFC 5280 section 6.3.3 (b) (1).
    """
    for point in certificate.crl_points:
        if url not in map(_read_url, point.full_name or ()):
            continue
        named = [one.value for one in point.crl_issuer or () if isinstance(one, x509.DirectoryName)]
        issuers = {canonicalise_name(name) for name in named}
        if crl.issuer == certificate.issuer and (not issuers or certificate.issuer in issuers):
            return True
        if crl.scope.indirect and crl.issuer in issuers:
            return True
    return False


def ocsp_urls(certificate: PathCertificate) -> tuple[str, ...]:
    """Return the URLs of its OCSP responders, in its order, without duplicates, at most 8.

    Standard: RFC 5280 section 4.2.2.1.
    """
    # All extensions were parsed with the certificate, so this cannot fail.
    return _pick(
        access.access_location
        for extension in certificate.certificate.extensions
        if isinstance(extension.value, x509.AuthorityInformationAccess)
        for access in extension.value
        if access.access_method == AuthorityInformationAccessOID.OCSP
    )


def _pick(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    urls = dict.fromkeys(map(_read_url, names))
    return tuple(url for url in urls if _is_sound(url))[:SOURCE_LIMIT]


def parse_source(text: str) -> str:
    """Return an address of evidence that an operator enters, such as `http://pki.clinic.example/ca.crl`.

    Raises:
        MalformedInput: `source-malformed`.
    """
    if _is_sound(text):
        return text
    hint = (
        f"write an http or https URL of printable ASCII, at most {URL_LIMIT} characters; write a space as %20"
    )
    raise MalformedInput(
        "source-malformed", f"{text[:80]!a} is not an address of a CRL or OCSP responder", hint=hint
    )


def _read_url(name: x509.GeneralName) -> str:
    """Return the URL in a name, as it is requested; empty if there is none.

    Authorities copy addresses by hand: spaces around one are removed, and a space inside it is encoded, as browsers
    do (RFC 3986 section 2.1). A space in the host is refused later.
    """
    return (
        name.value.strip(" ").replace(" ", "%20") if isinstance(name, x509.UniformResourceIdentifier) else ""
    )


def _is_sound(url: str) -> bool:
    """Return whether it is an http(s) URL of printable ASCII, not too long, that can be split (`http://[` cannot)."""
    if len(url) > URL_LIMIT or not url.lower().startswith(_SCHEMES) or not _PRINTABLE.fullmatch(url):
        return False
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return False
    return bool(host) and "%" not in host


def build_ocsp_request(
    certificate: PathCertificate, issuer: PathCertificate, nonce: bytes | None = None
) -> bytes:
    """Return the OCSP request for one certificate.

    Args:
        certificate: the certificate to ask about.
        issuer: the certificate's issuer.
        nonce: 1 to 128 octets to send; None for no nonce, as pre-signed responses need (RFC 5019).

    Returns:
        An OCSPRequest in DER.

    Raises:
        MalformedInput: `ocsp-request-unbuildable`: its serial number is out of range.

    Standard: RFC 6960 section 4.1.1; RFC 9654 section 2.1.
    """
    if not 0 < certificate.serial < 1 << 160:
        detail = "the serial number of the certificate is not positive, or has more than 160 bits"
        raise MalformedInput("ocsp-request-unbuildable", detail)
    name, key = (
        hashlib.sha1(one, usedforsecurity=False).digest() for one in (certificate.issuer_der, issuer.key_bits)
    )
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, certificate.serial, SHA1())  # noqa: S303  see above
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)
