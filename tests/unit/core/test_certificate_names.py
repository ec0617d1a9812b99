"""Names in certificates."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from doorward.core.certificate_names import build_subject, render_distinguished_name, render_general_name
from doorward.core.errors import MalformedInput
from tests.support import refusals

code_of = partial(refusals.code_of, build_subject, kind=MalformedInput)


def test_a_subject_is_a_common_name_after_an_organization():
    """The organization, if given, is before the common name; RFC 4514 text reverses them."""
    assert render_distinguished_name(build_subject("alice")) == "CN=alice"
    subject = build_subject("Root 1", "Example, Inc.")
    assert render_distinguished_name(subject) == r"CN=Root 1,O=Example\, Inc."


@pytest.mark.parametrize("text", ["", "a" * 65, "é" * 33, "a\nb", " a", "a ", "\ud800"])
def test_a_common_name_that_no_certificate_can_hold_is_refused(text):
    """Empty, too long and unprintable names are malformed before they reach a certificate."""
    assert code_of(text) == "common-name-malformed"


def test_an_organization_follows_the_same_rule():
    """A name in the organization gets a code of its own."""
    assert code_of("a", "x" * 65) == "organization-malformed"


def test_a_name_cannot_break_the_line_of_a_log():
    """Control characters of a certificate's names are percent-encoded in text."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\nb")])
    assert render_distinguished_name(name) == "CN=a%0Ab"
    assert render_general_name(x509.DNSName("a\nb, URI:x")) == "DNS:a%0Ab,%20URI:x"


@pytest.mark.parametrize(
    ("general", "text"),
    [
        (x509.UniformResourceIdentifier("spiffe://a/person/b"), "URI:spiffe://a/person/b"),
        (x509.DNSName("a.example"), "DNS:a.example"),
        (x509.RFC822Name("a@b.example"), "email:a@b.example"),
        (x509.IPAddress(ip_address("2001:db8::1")), "IP:2001:db8::1"),
        (x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a b")])), "DN:CN=a b"),
        (x509.RegisteredID(ObjectIdentifier("1.2.3")), "RID:1.2.3"),
        (x509.OtherName(ObjectIdentifier("1.2.3"), b"\x05\x00"), "other:1.2.3"),
    ],
)
def test_general_names_are_rendered_with_their_type(general, text):
    """Two names of different types never render alike."""
    assert render_general_name(general) == text


def test_a_general_name_of_an_unknown_kind_is_still_text():
    """Rendering is total: a class that the library may add gets a neutral word."""

    class Novel(x509.GeneralName):
        value = None

    assert render_general_name(Novel()) == "other:unknown"
