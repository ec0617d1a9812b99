"""Which URLs may be asked when a certificate names them."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.runtime.fetching.addresses import parse_place


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("http://pki.example/a.crl", "pki.example", 80, "/a.crl", "pki.example"),
        ("HTTP://PKI.Example", "pki.example", 80, "/", "pki.example"),
        ("https://pki.example.:8443?a=b#c", "pki.example", 8443, "/?a=b", "pki.example:8443"),
        ("https://pki.example/x;y?", "pki.example", 443, "/x;y", "pki.example"),
        ("http://[2001:DB8::1]:80/", "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ("http://10.0.0.1:8080/", "10.0.0.1", 8080, "/", "10.0.0.1:8080"),
    ],
)
def test_urls_are_taken_apart(url, host, port, target, authority):
    """A URL gives host, port, target and Host field."""
    place = parse_place(url)
    assert (place.host, place.port, place.target, place.authority) == (host, port, target, authority)
    assert place.secure is url.lower().startswith("https")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "printable"),
        ("ldap://pki.example/cn=a", "neither"),
        ("file:///etc/passwd", "neither"),
        ("//pki.example/a", "neither"),
        ("http://alice:secret@pki.example/", "user"),
        ("http://@pki.example/", "user"),
        ("http:///a", "no host"),
        ("http://.", "no host"),
        ("http://a b/", "printable"),
        ("http://a/\r\nX: y", "printable"),
        ("http://bücher.example/", "printable"),
        ("http://a\\b/", "no host"),
        ("http://[fe80::1%25eth0]/", "no host"),
        ("http://[::1/", "parse"),
        ("http://pki.example:0/", "port"),
        ("http://pki.example:70000/", "parse"),
        ("http://pki.example:x/", "parse"),
        ("http://pki.example/" + "a" * 2048, "long"),
    ],
)
def test_other_urls_are_refused(url, word):
    """What is not a plain http or https URL is refused, and says why."""
    with pytest.raises(MalformedInput, match=word) as refused:
        parse_place(url)
    assert refused.value.code == "fetch-url-unusable"


def test_a_redirect_may_be_relative():
    """A relative URL is read from where it came, and judged as any other."""
    base = parse_place("http://pki.example:81/a/b.crl")
    assert parse_place("../c.crl", base).url == "http://pki.example:81/c.crl"
    assert parse_place("//other.example/c", base).host == "other.example"
    with pytest.raises(MalformedInput):
        parse_place("gopher://other.example/", base)
