"""The certificates of files in every form that people hand over."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from doorward.core.errors import MalformedInput
from doorward.runtime.certificate_files import read_certificates
from doorward.runtime.pem import render_pem
from tests.support.certificates.der import oid_der, rdn, tlv
from tests.support.certificates.issuing import certify, odd_certificate
from tests.support.refusals import refused

ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
BOTH = [ROOT.der, ISSUING.der]
TEXT = render_pem(*BOTH).encode()
P7B = pkcs7.serialize_certificates([ROOT.certificate, ISSUING.certificate], serialization.Encoding.DER)
P7B_PEM = pkcs7.serialize_certificates([ROOT.certificate, ISSUING.certificate], serialization.Encoding.PEM)
KEY = ROOT.key_pem
P12 = pkcs12.serialize_key_and_certificates(
    b"x", ROOT.key, ROOT.certificate, None, serialization.BestAvailableEncryption(b"x")
)


def block(label: str, body: bytes) -> bytes:
    """A block of PEM."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(body).decode()}-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TEXT, id="pem"),
        pytest.param(b"Bag Attributes\n  a: b\n" + TEXT + b"\nthe end\n", id="text-around"),
        pytest.param(TEXT.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(TEXT.replace(b"\n", b"\r"), id="cr"),
        pytest.param(b"\xef\xbb\xbf" + TEXT, id="utf-8-mark"),
        pytest.param(TEXT.decode().encode("utf-16"), id="utf-16"),
        pytest.param(b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), id="utf-16-be"),
        pytest.param(TEXT.decode().encode("utf-16-le"), id="utf-16-without-mark"),
        pytest.param(TEXT.decode().encode("utf-16-be"), id="utf-16-be-without-mark"),
        pytest.param(TEXT.replace(b" CERT", b" X509 CERT"), id="x509-label"),
        pytest.param(b"".join(BOTH), id="der-concatenated"),
        pytest.param(P7B, id="p7b"),
        pytest.param(P7B_PEM, id="p7b-pem"),
        pytest.param(block("CMS", P7B), id="cms"),
        pytest.param(block("PKCS #7 SIGNED DATA", P7B), id="pkcs-7-signed-data"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nX-Note: from us\n\n"
            + base64.encodebytes(ROOT.der)
            + b"-----END CERTIFICATE-----\n"
            + block("CERTIFICATE", ISSUING.der),
            id="headers",
        ),
    ],
)
def test_every_form_is_taken(data: bytes) -> None:
    """RFC 7468 sections 2, 5 and 8; RFC 5652 section 5.1: every certificate, in the order of the file."""
    assert sorted(read_certificates(data)) == sorted(BOTH)


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (TEXT + block("TRUSTED CERTIFICATE", ROOT.der + b"\x30\x00"), "openssl x509"),
        (TEXT + KEY, "openssl crl2pkcs7"),
        (TEXT + block("X509 CRL", b"x"), "openssl crl2pkcs7"),
        (TEXT + block("DH PARAMETERS", b"x"), "openssl crl2pkcs7"),
        (P12, "openssl pkcs12"),
        (b"\xfe\xed\xfe\xed" + bytes(20), "keytool"),
        (base64.encodebytes(ROOT.der), "openssl base64"),
        (b"\x30\x80\x06\x09" + bytes(20), "openssl pkcs7"),
    ],
)
def test_what_is_not_taken_is_told_with_the_command(data: bytes, command: str) -> None:
    """Nothing beside certificates is passed over in silence."""
    with refused(MalformedInput, "file-not-certificates") as caught:
        read_certificates(data)
    assert command in (caught.value.hint or "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"\x30\x00",
        b"\x30\x03\x02\x01\x05",
        TEXT[:-40],
        TEXT.replace(b"END CERTIFICATE", b"END X509 CRL", 1),
        TEXT.replace(b"MII", b"M!I"),
        block("CERTIFICATE", b"x"),
        block("CERTIFICATE", ROOT.der[:-1]),
        ROOT.der + b"\x00",
        tlv(0x30, oid_der("1.2.840.113549.1.7.1")),
        tlv(0x30, oid_der("1.2.840.113549.1.7.2")),
        tlv(
            0x30, oid_der("1.2.840.113549.1.7.2"), tlv(0xA0, tlv(0x30, tlv(2, b"\x01"), tlv(0x31), tlv(0x30)))
        ),
    ],
)
def test_what_holds_no_certificate_is_malformed(data: bytes) -> None:
    """Half a block, another end, bytes after the last certificate."""
    with refused(MalformedInput, "certificate-malformed"):
        read_certificates(data)


def test_a_certificate_that_the_library_does_not_read() -> None:
    """An authority with a TeletexString in Latin-1 is handed over like any other."""
    latin = odd_certificate(ROOT, ROOT.key, subject=[rdn("2.5.4.3", 0x14, b"M\xfcller")])
    assert read_certificates(render_pem(latin).encode()) == [latin]
