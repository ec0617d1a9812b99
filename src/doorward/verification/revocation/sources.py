"""Where a certificate says that its revocation can be looked up, whose word may be found there, the question to ask.

- Whose list may be found there: `may_serve`.

Not here: asking (a `Fetcher`), which addresses may be asked (runtime), judging what comes.
These are addresses that whoever made the certificate wrote: they mean something only once its path is good.
- CRLs: the full names of its distribution points that are http or https URLs. A name relative to the CRL
  issuer, a directory name and LDAP lead to directories, which are not asked; nor is what is no URL of
  printable ASCII, for nothing that keeps, counts or logs these addresses may stumble over one.
- OCSP: the http and https URLs of its authority information access.
- The question: one certificate by SHA-1 hashes, as every responder understands it, and unsigned (RFC 5019
  section 2.1). No secret rests on SHA-1 here: the answer is held against name and key hash again.

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
"""URLs of one kind in one certificate. Honest ones name one or two."""
URL_LIMIT = 2048
"""Characters."""

_SCHEMES = ("http://", "https://")
_PRINTABLE = re.compile(r"[!-~]+")


def crl_urls(certificate: PathCertificate) -> tuple[str, ...]:
    """Return the URLs of its CRLs, in its order, each once, at most 8.

    Standard: RFC 5280 section 4.2.1.13.
    """
    return _pick(name for point in certificate.crl_points for name in point.full_name or ())


def may_serve(certificate: PathCertificate, url: str, crl: Crl) -> bool:
    """Return whether a CRL that was found at a URL is of an issuer that a certificate takes it from there.

    That is the issuer of the certificate; where the distribution point with the URL names another CRL issuer it
    is that one, and the CRL has to be indirect: or whoever makes certificates could make any sibling's list
    one about them, by naming it.

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
    """Return the URLs of its OCSP responders, in its order, each once, at most 8.

    Standard: RFC 5280 section 4.2.2.1.
    """
    # Every extension was parsed with the certificate: this cannot fail.
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
    """Return an address of evidence that an operator gives by hand, such as `http://pki.clinic.example/ca.crl`.

    Raises:
        MalformedInput: `source-malformed`.
    """
    if _is_sound(text):
        return text
    hint = f"write an http or https URL of printable ASCII, at most {URL_LIMIT} characters; a blank is %20"
    raise MalformedInput(
        "source-malformed", f"this is not an address of a CRL or OCSP responder: {text[:80]!a}", hint=hint
    )


def _read_url(name: x509.GeneralName) -> str:
    """Return the URL that a name holds, as it is asked; empty if it holds none.

    Authorities copy addresses by hand: blanks around it are dropped, and one within it is encoded, as every
    browser does (RFC 3986 section 2.1). In a host it stays none.
    """
    return (
        name.value.strip(" ").replace(" ", "%20") if isinstance(name, x509.UniformResourceIdentifier) else ""
    )


def _is_sound(url: str) -> bool:
    """Return whether it is http, not too long, printable ASCII, and splits into its parts, which `http://[` does not."""
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
    """Return the question about one certificate.

    Args:
        certificate: whose status.
        issuer: who signed it.
        nonce: 1 to 128 octets to be sent; None for none, as pre-signed answers need (RFC 5019).

    Returns:
        An OCSPRequest in DER.

    Raises:
        MalformedInput: `ocsp-request-unbuildable`: its serial number is none that can be asked for.

    Standard: RFC 6960 section 4.1.1; RFC 9654 section 2.1.
    """
    if not 0 < certificate.serial < 1 << 160:
        raise MalformedInput("ocsp-request-unbuildable", "its serial number is none that can be asked for")
    name, key = (
        hashlib.sha1(one, usedforsecurity=False).digest() for one in (certificate.issuer_der, issuer.key_bits)
    )
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, certificate.serial, SHA1())  # noqa: S303  see above
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)
