"""The addresses that are written into certificates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.authority.status.publication import parse_status_url, publication_addresses
from doorward.core.errors import MalformedInput


def test_addresses_of_an_authority():
    """The addresses of CRL, OCSP and certificate of one authority have the same beginning."""
    addresses = publication_addresses("http://pki.corp.example", "aut_x")
    assert addresses.crl == "http://pki.corp.example/crl/aut_x.crl"
    assert addresses.ocsp == "http://pki.corp.example/ocsp"
    assert addresses.certificate == "http://pki.corp.example/ca/aut_x.cer"
    divided = publication_addresses("http://pki.corp.example", "aut_x", "3-of-16")
    assert divided == replace(addresses, crl="http://pki.corp.example/crl/aut_x/3-of-16.crl")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://pki.corp.example/", "http://pki.corp.example"),
        ("http://127.0.0.1:8480", "http://127.0.0.1:8480"),
        ("http://[::1]:8480", "http://[::1]:8480"),
        ("https://pki.corp.example/status/", "https://pki.corp.example/status"),
    ],
)
def test_usable_addresses(text, url):
    """A plain address is accepted, and its trailing slash is removed."""
    assert parse_status_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "pki.corp.example", "ftp://pki.corp.example", "http://", "http://user@pki.example", "http://a.example?x",
        "http://a.example#x", "http://a.example/a b", "http://a.example/\n", "http://ä.example",
        "http://a.example:port", "http://[::1", "http://a.example/" + "x" * 256,
    ],
)  # fmt: skip
def test_unusable_addresses_are_refused(text):
    """An ambiguous address is refused, and the hint has an example."""
    with pytest.raises(MalformedInput) as refusal:
        parse_status_url(text)
    assert refusal.value.code == "status-url-malformed"
    assert "http://" in refusal.value.hint
