"""The certificates of a file, in any form in which people exchange them.

Accepted: PEM with any number of certificates and any text between them; PKCS#7 (`.p7b`, PEM or DER); certificates in DER, one
after the other. All of these also in UTF-16, with a byte order mark, and with any line ends.
Refused, with the command that converts: TRUSTED CERTIFICATE blocks (their settings are OpenSSL's own), keys and other
blocks, PKCS#12, Java key stores, base64 without PEM lines. No part of a file is skipped silently: a skipped authority would
be missing later.

Not here: what is in the certificates (verification.path.certificate).
Standard: RFC 7468 sections 2, 5 and 8; RFC 5652 section 5.1; RFC 2315.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from doorward.core.errors import MalformedInput
from doorward.runtime.pem import read_bounded
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.revocation.der import (
    INTEGER,
    OBJECT,
    SEQUENCE,
    Element,
    MalformedDer,
    read_element,
    read_whole,
)

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[!-,.-~ ]+)-----(?P<body>.*?)-----END (?P<end>[!-,.-~ ]+)-----", re.DOTALL
)
_BEGIN = b"-----BEGIN "
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
_BUNDLES = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")
_TRUSTED = b"TRUSTED CERTIFICATE"
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_KEY_STORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]{64,}")
_EXPLICIT_0 = 0xA0
_LEAST_PARTS = 4  # of SignedData: version, digests, content, certificates …


def read_certificates(data: bytes) -> list[bytes]:
    """Return the DER of each certificate of a file, in its order.

    Raises:
        MalformedInput: `certificate-malformed`, or `file-not-certificates` with the command that converts it.
    """
    data = _as_ascii(data)
    found = list(_read_blocks(data) if _BEGIN in data else _read_der(data))
    if not found:
        raise _none()
    for der in found:
        parse_path_certificate(der)
    return found


def read_certificate_files(files: Iterable[Path]) -> list[bytes]:
    """Return the certificates of files, in their order; errors are those of `read_certificates`, and name the file."""
    found = []
    for file in files:
        try:
            found += read_certificates(read_bounded(file))
        except MalformedInput as error:
            raise MalformedInput(error.code, f"{file}: {error.detail}", hint=error.hint) from error
    return found


def _as_ascii(data: bytes) -> bytes:
    """Return text without its byte order mark, in one octet a character; any other bytes as they are."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _recode(data[len(mark) :], encoding)
    for encoding in ("utf-16-le", "utf-16-be"):  # Windows tools also write it without the mark
        if data[:64].startswith("-----".encode(encoding)):
            return _recode(data, encoding)
    return data


def _recode(data: bytes, encoding: str) -> bytes:
    return data.decode(encoding, "replace").encode("ascii", "replace")


def _read_blocks(data: bytes) -> Iterator[bytes]:
    blocks = list(_BLOCK.finditer(data))
    if len(blocks) != data.count(_BEGIN):
        raise MalformedInput(
            "certificate-malformed",
            "a block has a BEGIN line and no END line: the file was cut, or copied in parts",
            hint="export it again; each -----BEGIN line needs its -----END line",
        )
    for block in blocks:
        label = block["label"]
        if label != block["end"]:
            raise MalformedInput(
                "certificate-malformed",
                "the END line of a block has another name than its BEGIN line",
                hint="the file may be cut or edited: get it again",
            )
        if label in _CERTIFICATES:
            yield _decode(block["body"])
        elif label in _BUNDLES:
            yield from _read_der(_decode(block["body"]))
        else:
            raise _other(label)


def _decode(body: bytes) -> bytes:
    # Only lines before an empty line may be headers (RFC 1421); base64 has no colon.
    head, gap, rest = body.replace(b"\r", b"").lstrip(b"\n").partition(b"\n\n")
    text = rest if gap and b":" in head else body
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise MalformedInput(
            "certificate-malformed",
            "a block has characters that are not base64",
            hint="the file may be cut or edited: get it again",
        ) from None


def _other(label: bytes) -> MalformedInput:
    name = label.decode("ascii", "replace")[:64]
    if label == _TRUSTED:
        message = "it contains a TRUSTED CERTIFICATE, with settings that only OpenSSL knows"
        hint = "write the certificate without them: openssl x509 -in FILE -out CERTIFICATE.pem"
    elif label.endswith(b"PRIVATE KEY"):
        message = f"it contains a {name}: a partner's private key does not belong here"
        hint = "write the certificates alone: openssl crl2pkcs7 -nocrl -certfile FILE | openssl pkcs7 -print_certs"
    else:
        message = f"it contains a {name}, which is not a certificate"
        hint = "write the certificates alone: openssl crl2pkcs7 -nocrl -certfile FILE | openssl pkcs7 -print_certs"
    return MalformedInput("file-not-certificates", message, hint=hint)


def _read_der(data: bytes) -> Iterator[bytes]:
    """Certificates in DER, and PKCS#7, one after the other."""
    at = 0
    while at < len(data):
        try:
            element = read_element(data, at, len(data))
            bundle = _is_bundle(element)
        except MalformedDer:
            raise _unreadable(data) from None
        if bundle:
            yield from _read_bundle(element)
        else:
            yield element.whole
        at = element.end


def _is_bundle(element: Element) -> bool:
    """Return whether it is a ContentInfo with signed data; raise if it is no certificate either."""
    first = next(element.require(SEQUENCE).children(), None)
    if first is None or first.tag == INTEGER:  # PKCS#12 and keys begin with a version
        raise MalformedDer("no certificate")
    if first.tag != OBJECT:
        return False
    if first.value != _SIGNED_DATA:
        raise MalformedDer("no signed data")
    return True


def _read_bundle(element: Element) -> Iterator[bytes]:
    try:
        _, content = element.children()
        parts = list(content.require(_EXPLICIT_0).only_child().require(SEQUENCE).children())
        found = [
            one.whole
            for part in parts[3:]
            if part.tag == _EXPLICIT_0
            for one in part.children()
            if one.tag == SEQUENCE
        ]
    except ValueError:  # also another number of parts
        raise _unreadable(element.whole) from None
    if len(parts) < _LEAST_PARTS or not found:
        raise _none()
    yield from found


def _unreadable(data: bytes) -> MalformedInput:
    if data.startswith(_KEY_STORES):
        message, hint = (
            "it is a Java key store",
            "write the certificate: keytool -exportcert -rfc -keystore FILE",
        )
    elif _is_pkcs12(data):
        message = "it is a PKCS#12 file"
        hint = "write the certificates: openssl pkcs12 -in FILE -nokeys -out CERTIFICATES.pem"
    elif _BASE64.fullmatch(data.strip()):
        message = "it is base64 without BEGIN and END lines"
        hint = "decode it: openssl base64 -d -in FILE -out CERTIFICATE.der"
    elif data[:2] == b"\x30\x80":
        message = "it is BER with indefinite lengths"
        hint = "convert it: openssl pkcs7 -inform DER -in FILE -print_certs -out CERTIFICATES.pem"
    else:
        return _none()
    return MalformedInput("file-not-certificates", message, hint=hint)


def _is_pkcs12(data: bytes) -> bool:
    try:
        parts = list(read_whole(data).require(SEQUENCE).children())
    except MalformedDer:
        return False
    return len(parts) in (2, 3) and parts[0].whole == b"\x02\x01\x03" and parts[1].tag == SEQUENCE


def _none() -> MalformedInput:
    hint = "give certificates in PEM (-----BEGIN CERTIFICATE-----), PKCS#7 or DER"
    return MalformedInput("certificate-malformed", "this contains no X.509 certificate", hint=hint)
