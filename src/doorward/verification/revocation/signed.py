"""The signed part of a CRL or OCSP response, and names and algorithms as the library parses them.

The library parses names, dates and signature algorithms only inside a certificate or a CRL, and does not return the
parameters of an OCSP response's signature (RSA-PSS). So these parts are put into an otherwise empty CRL and read from it.
Not here: whether a signature is valid (path.signatures).
Standard: RFC 5280 section 5.1; RFC 6960 section 4.2.1; RFC 4055 section 3.1.
"""

from __future__ import annotations

from cryptography import x509

from doorward.verification.path.name_parsing import parse_name
from doorward.verification.path.names import CanonicalName
from doorward.verification.path.rewriting import remove_null_parameters
from doorward.verification.path.signatures import SignedContent
from doorward.verification.revocation.der import (
    BIT_STRING,
    INTEGER,
    SEQUENCE,
    Element,
    MalformedDer,
    render_element,
)

_VERSION_2 = render_element(INTEGER, b"\x01")
_SOME_TIME = render_element(0x17, b"000101000000Z")
_SOME_ALGORITHM = render_element(SEQUENCE, bytes.fromhex("06032b6570"))  # Ed25519
_NO_NAME = render_element(SEQUENCE)
_NO_SIGNATURE = render_element(BIT_STRING, b"\x00")
_EXTENSIONS = 0xA0


def read_outline(
    *,
    algorithm: bytes = _SOME_ALGORITHM,
    issuer: bytes = _NO_NAME,
    times: bytes = _SOME_TIME,
    extensions: bytes = b"",
) -> x509.CertificateRevocationList:
    """Return these parts in a CRL as the library parses it: elements in DER, `extensions` any number of Extension.

    Raises:
        Exception: of any type, now or when a part is read, if the library cannot parse it.
    """
    stated = render_element(_EXTENSIONS, render_element(SEQUENCE, extensions)) if extensions else b""
    algorithm = remove_null_parameters(algorithm)
    name = parse_name(issuer).rewrite()
    content = render_element(SEQUENCE, _VERSION_2, algorithm, name, times, stated)
    return x509.load_der_x509_crl(render_element(SEQUENCE, content, algorithm, _NO_SIGNATURE))


def parse_canonical_name(der: bytes) -> CanonicalName:
    """Return a Name in canonical form.

    Raises:
        MalformedDer: it is not a Name.
    """
    return parse_name(der).canonicalise()


def read_signed(
    content: Element, outline: x509.CertificateRevocationList, signature: Element
) -> SignedContent:
    """Return the signed content with the algorithm of an outline, and the signature.

    Raises:
        MalformedDer: the signature does not consist of whole octets.
    """
    bits = signature.require(BIT_STRING).value
    if bits[:1] != b"\x00":
        raise MalformedDer("a signature that does not consist of whole octets")
    return SignedContent(content=content.whole, algorithm=outline, signature=bits[1:])
