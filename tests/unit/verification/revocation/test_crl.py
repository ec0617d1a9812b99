"""Parsing of CRLs."""

from __future__ import annotations

from functools import partial

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from doorward.core.errors import MalformedInput
from doorward.verification.revocation import crl as module
from doorward.verification.revocation.crl import ALL_REASONS, parse_crl
from tests.support import refusals
from tests.support.certificates.der import children, tlv
from tests.support.certificates.issuing import certify, name
from tests.support.certificates.status import HOUR, crl_of, entry, list_of, listed_for, scope
from tests.support.ports import NOON

ROOT = certify("Root")
OTHER = certify("Other")
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55738.666.1"), b"\x05\x00")

code_of = partial(refusals.code_of, parse_crl, kind=MalformedInput)


def test_an_entry_is_found_by_serial():
    """A listed certificate is found with its reason; any other is not found."""
    crl = list_of(ROOT, 7, entry(9, x509.ReasonFlags.key_compromise), number=5)
    assert crl.find(ROOT.parsed.subject, 7) == (True, None)
    assert crl.find(ROOT.parsed.subject, 9) == (True, x509.ReasonFlags.key_compromise)
    assert crl.find(ROOT.parsed.subject, 8) == (False, None)
    assert crl.find(OTHER.parsed.subject, 7) == (False, None)
    assert (crl.number, crl.base, crl.issuer) == (5, None, ROOT.parsed.subject)
    assert (crl.this_update, crl.next_update) == (NOON - HOUR, NOON + HOUR)


def test_an_entry_of_an_indirect_crl_inherits_its_issuer():
    """RFC 5280 section 5.3.3: an entry without an issuer has the issuer of the entry before it; the first entry has the CRL's issuer."""
    crl = list_of(
        ROOT,
        1,
        entry(2, None, listed_for(OTHER)),
        3,
        entry(4, None, listed_for(ROOT)),
        scope=scope(indirect_crl=True),
    )
    assert [crl.find(ROOT.parsed.subject, one)[0] for one in (1, 2, 3, 4)] == [True, False, False, True]
    assert [crl.find(OTHER.parsed.subject, one)[0] for one in (1, 2, 3, 4)] == [False, True, True, False]


def test_the_scope_is_read():
    """A distribution point is read by its full name, or completed from a name relative to the issuer; the reasons are read, too."""
    url = x509.UniformResourceIdentifier("http://crl.example/1")
    crl = list_of(
        ROOT, scope=scope(full_name=[url, x509.DirectoryName(name("Point"))], only_contains_user_certs=True)
    )
    assert crl.scope.points == {
        ("UniformResourceIdentifier", "http://crl.example/1"),
        ("DirectoryName", certify("Point").parsed.subject),
    }
    assert crl.scope.only_users
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Part")])
    some = frozenset({x509.ReasonFlags.key_compromise})
    crl = list_of(ROOT, scope=scope(relative_name=relative, only_some_reasons=some))
    assert crl.scope.points == {("DirectoryName", (*ROOT.parsed.subject, ((("2.5.4.3", "part")),)))}
    assert crl.scope.reasons == some < ALL_REASONS
    assert list_of(ROOT).scope.points is None


def test_a_delta_names_its_base():
    """A CRL with the number of a base CRL is a delta."""
    assert list_of(ROOT, number=6, base=5).base == 5


def test_unknown_critical_extensions_and_bad_numbers_are_refused():
    """Unknown critical extensions of the list or an entry, a missing or critical number (5.2, 5.2.3, 5.3)."""
    assert code_of(crl_of(ROOT, extra=[(UNKNOWN, True)])) == "crl-unusable"
    assert code_of(crl_of(ROOT, entry(7, None, (UNKNOWN, True)))) == "crl-unusable"
    assert code_of(crl_of(ROOT, number=None)) == "crl-unusable"
    assert code_of(crl_of(ROOT, number=None, extra=[(x509.CRLNumber(1), True)])) == "crl-unusable"
    assert parse_crl(crl_of(ROOT, entry(7, None, (UNKNOWN, False)), extra=[(UNKNOWN, False)])).number == 1


@pytest.mark.parametrize("der", [b"", b"\x30\x00", bytes(100), b"-----BEGIN X509 CRL-----"])
def test_other_bytes_are_malformed(der):
    """Anything that is not a CRL is refused with one code."""
    assert code_of(der) == "crl-malformed"


def test_an_entry_without_an_issuer_name_is_malformed():
    """An issuer that is not a directory name cannot be matched."""
    not_a_directory_name = (x509.CertificateIssuer([x509.DNSName("a.example")]), True)
    assert code_of(crl_of(ROOT, entry(7, None, not_a_directory_name))) == "crl-malformed"


def test_bytes_after_the_list_are_malformed():
    """A CRL with bytes after its end is refused."""
    assert code_of(crl_of(ROOT) + b"\x00") == "crl-malformed"


def test_the_size_is_limited(monkeypatch):
    """A CRL that is too large is not parsed."""
    der = crl_of(ROOT)
    monkeypatch.setattr(module, "CRL_LIMIT", len(der))
    assert parse_crl(der).number == 1
    monkeypatch.setattr(module, "CRL_LIMIT", len(der) - 1)
    assert code_of(der) == "crl-too-large"


def test_a_crl_needs_a_next_update():
    """RFC 5280 section 5.1.2.5 demands it."""
    der = crl_of(ROOT)
    content, algorithm, signature = children(der)
    fields = children(content)
    shorter = tlv(0x30, *fields[:4], *fields[5:])  # version, algorithm, issuer, this update, next update, ...
    assert code_of(tlv(0x30, shorter, algorithm, signature)) == "crl-unusable"
