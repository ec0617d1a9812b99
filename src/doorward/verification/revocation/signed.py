"""What the signer of a CRL or OCSP answer signed, with names and algorithms as the library reads them.

The library reads names, dates and signature algorithms as parts of a certificate or a CRL alone, and does not give the
parameters of an OCSP answer's signature (RSA-PSS). So they are put into a CRL that says nothing else, and read from there.
Not here: whether a signature holds (path.signatures).
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
    """Return these parts as the library reads them: elements in DER, `extensions` any number of Extension.

    Raises:
        Exception: of any kind, now or when a part is asked for, if the library cannot read it.
    """
    stated = render_element(_EXTENSIONS, render_element(SEQUENCE, extensions)) if extensions else b""
    algorithm = remove_null_parameters(algorithm)
    name = parse_name(issuer).rewrite()
    content = render_element(SEQUENCE, _VERSION_2, algorithm, name, times, stated)
    return x509.load_der_x509_crl(render_element(SEQUENCE, content, algorithm, _NO_SIGNATURE))


def parse_canonical_name(der: bytes) -> CanonicalName:
    """Return a Name in its canonical form.

    Raises:
        MalformedDer: it is none.
    """
    return parse_name(der).canonicalise()


def read_signed(
    content: Element, outline: x509.CertificateRevocationList, signature: Element
) -> SignedContent:
    """Return what was signed, by the algorithm of an outline, and the signature.

    Raises:
        MalformedDer: the signature is no whole octets.
    """
    bits = signature.require(BIT_STRING).value
    if bits[:1] != b"\x00":
        raise MalformedDer("a signature that is no whole octets")
    return SignedContent(content=content.whole, algorithm=outline, signature=bits[1:])
