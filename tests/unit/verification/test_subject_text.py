"""A subject as people write it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.errors import MalformedInput
from doorward.verification.subject_text import parse_subject_text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CN=bob,O=Clinic,C=DE", "CN=bob,O=Clinic,C=DE"),
        ("CN=bob, O=Clinic , C = DE", "CN=bob,O=Clinic,C=DE"),
        ("cn=Bob,o=Clinic", "CN=Bob,O=Clinic"),
        ("emailAddress=a@b,CN=x", "1.2.840.113549.1.9.1=a@b,CN=x"),
        ("serialNumber=1+CN=x", "2.5.4.5=1+CN=x"),
        ("oid.SN=x", "2.5.4.4=x"),
        ("2.5.4.16=#30050C03456C6D", "2.5.4.16=#30050c03456c6d"),
        (r"CN=M\C3\BCller", "CN=Müller"),
        ("CN=Müller", "CN=Müller"),
        (r"CN=a\, b", r"CN=a\, b"),
        ('CN="a, b"', r"CN=a\, b"),
        (r"CN=a\ ,O=b", r"CN=a\ ,O=b"),
        (r"CN=\ a\ ", r"CN=\ a\ "),
        (r"CN=\#a", r"CN=\#a"),
        (r"CN=a\\", r"CN=a\\"),
        (r"CN=\00", r"CN=\00"),
        ("CN=" + "x" * 300, "CN=" + "x" * 300),
        ("C=GER", "C=GER"),
        ("CN=", "CN="),
    ],
)
def test_it_is_written_as_it_is_compared(text: str, found: str) -> None:
    """RFC 4514 sections 2 and 3; the result parses to the same text."""
    assert parse_subject_text(text) == found
    assert parse_subject_text(found) == found


@pytest.mark.parametrize(
    "text",
    ["", "bob", "bob@clinic.example", "/C=DE/CN=bob", "CN=a,", ",CN=a", "X=1", "CN=a,,C=DE", '"', "CN=a\\"],
)
def test_what_is_no_subject_is_refused(text: str) -> None:
    """Types must be known or dotted; the form with slashes has another order."""
    with pytest.raises(MalformedInput) as refused:
        parse_subject_text(text)
    assert refused.value.code == "subject-malformed"


@pytest.mark.parametrize(
    "value", ["bob", "a,b", 'a"b', "a+b;c<d>e\\f", "#a", " a ", "a#", "ü", "a\x00b", "#", " "]
)
def test_it_is_what_the_library_writes(value: str) -> None:
    """The text of a certificate goes through unchanged, or a name that was copied would never match."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.COMMON_NAME, value)]
    )
    assert parse_subject_text(name.rfc4514_string()) == name.rfc4514_string()
