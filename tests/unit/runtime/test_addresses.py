"""Which URLs and addresses may be asked when a certificate names them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from doorward.core.errors import MalformedInput
from doorward.runtime.addresses import Reach, judge_address, may_ask, parse_place

GLOBAL = ("8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808")
PRIVATE = (
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "::1", "fc00::1", "fdff::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.8", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::", "::2", "::808:808", "fe80::1",
    "febf::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "3fff::1", "64:ff9b:1::a00:1",
    "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "100::1", "4000::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:0.0.0.0",
)  # fmt: skip


@pytest.mark.parametrize("text", GLOBAL)
def test_global_addresses_may_be_asked(text):
    """A global unicast address may be asked, whatever is allowed."""
    assert judge_address(ip_address(text)) is Reach.GLOBAL
    assert may_ask(ip_address(text), allow_private=False)
    assert may_ask(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_need_leave(text):
    """A private, shared or loopback address may be asked only where the operator allowed it."""
    assert judge_address(ip_address(text)) is Reach.PRIVATE
    assert not may_ask(ip_address(text), allow_private=False)
    assert may_ask(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_asked(text):
    """Link-local, multicast, reserved addresses, tunnels and clouds' credentials are asked by no leave."""
    assert judge_address(ip_address(text)) is Reach.NEVER
    assert not may_ask(ip_address(text), allow_private=True)


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
