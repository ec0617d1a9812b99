"""Certificates as PEM text: what the library writes, and what it reads again."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.wire.pem import render_certificates, render_pem
from tests.support.certificates.issuing import toy_ca


def test_pem_is_that_of_the_library() -> None:
    """Lines of 64 characters, one block after the other, in order; nothing for nothing."""
    root, other = (one.certificate for one in (toy_ca(), toy_ca("Other Root")))
    ders = [one.public_bytes(Encoding.DER) for one in (root, other)]
    assert render_pem(*ders).encode() == root.public_bytes(Encoding.PEM) + other.public_bytes(Encoding.PEM)
    assert x509.load_pem_x509_certificates(render_pem(*ders).encode()) == [root, other]
    assert render_pem() == ""


def test_a_file_of_certificates() -> None:
    """Certificates become one file that the library reads back, in the same order; both renderers agree."""
    certificates = [toy_ca(name).certificate for name in ("One", "Two")]
    rendered = render_certificates(certificates)
    assert x509.load_pem_x509_certificates(rendered) == certificates
    assert render_pem(*(one.public_bytes(Encoding.DER) for one in certificates)).encode() == rendered
