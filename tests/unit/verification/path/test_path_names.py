"""Distinguished names are equal if RFC 5280 section 7.1 says so."""

from __future__ import annotations

import unicodedata

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from doorward.verification.path.names import NORMALISED_LIMIT, canonicalise_name
from tests.support.certificates.issuing import certify, name
from tests.support.certificates.judging import judge, rules_of


def canonical(value, kind=_ASN1Type.UTF8String, oid=NameOID.DN_QUALIFIER):
    """The canonical form of a name of one attribute, of a type without limits."""
    return canonicalise_name(x509.Name([x509.NameAttribute(oid, value, kind, _validate=False)]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Toy Root", "TOY ROOT"),
        ("Toy Root", "  toy \t root "),
        ("Toy Root", "Toy\u00a0\u2003Root"),  # no-break space and em space are spaces
        ("Toy Root", "Ｔｏｙ Ｒｏｏｔ"),  # noqa: RUF001  full-width forms
        ("Straße", "STRASSE"),
        ("Café", "Cafe\u0301"),
        ("Root", "Ro\u00adot"),  # soft hyphen
        ("Root", "R\u200boo\u200dt"),  # zero width space, joiner
        ("Root", "Root\ufe0f"),  # variation selector
        ("Root", "Ro\x01ot"),
        ("é root", "É\x85ROOT"),  # next line is white space
        ("", "   "),
    ],
)
def test_spellings_of_one_name(one, other):
    """Case, white space, compatibility forms and invisible characters do not make another name."""
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Toy Root", "ToyRoot"),
        ("Toy Root", "Toy Root 2"),
        ("Root", "Rооt"),  # noqa: RUF001  Cyrillic letters
        ("Café", "Cafe"),
        ("Toy-Root", "Toy Root"),
        ("a\tb", "ab"),
    ],
)
def test_other_names(one, other):
    """A name that a reader would take for another name is another name."""
    assert canonical(one) != canonical(other)


def test_the_string_type_does_not_matter():
    """UTF8String, PrintableString, BMPString and TeletexString of one text are one value."""
    kinds = (
        _ASN1Type.UTF8String,
        _ASN1Type.PrintableString,
        _ASN1Type.BMPString,
        _ASN1Type.UniversalString,
        _ASN1Type.T61String,
    )
    assert len({canonical("Toy Root", kind) for kind in kinds}) == 1


def test_the_attribute_type_matters():
    """CN=x is not O=x."""
    assert canonical("x") != canonical("x", oid=NameOID.ORGANIZATION_NAME)


def test_bit_strings_are_compared_as_they_are():
    """An x500UniqueIdentifier has no case."""
    one, other = (
        canonical(value, _ASN1Type.BitString, NameOID.X500_UNIQUE_IDENTIFIER) for value in (b"\0a", b"\0A")
    )
    assert one != other
    assert one[0][0][1] == b"\x03\x02\0a"


def test_a_relative_name_has_no_order_and_a_name_has():
    """CN=a+O=b is O=b+CN=a; CN=a,O=b is not O=b,CN=a."""
    first = x509.NameAttribute(NameOID.COMMON_NAME, "a")
    second = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "b")

    def joined(*attributes):
        return canonicalise_name(x509.Name([x509.RelativeDistinguishedName(attributes)]))

    assert joined(first, second) == joined(second, first)
    assert canonicalise_name(x509.Name([first, second])) != canonicalise_name(x509.Name([second, first]))
    assert joined(first, second) != canonicalise_name(x509.Name([first, second]))
    assert canonicalise_name(x509.Name([])) == ()


def test_a_value_that_would_cost_seconds_is_compared_without_normalisation(monkeypatch):
    """30,000 combining characters in the worst order are not sorted: the library would need their square."""
    normalised = []
    real = unicodedata.normalize
    monkeypatch.setattr(
        unicodedata, "normalize", lambda form, text: normalised.append(text) or real(form, text)
    )
    canonical("\u0315" * 15_000 + "\u0300" * 15_000)
    assert normalised == []
    long = "É" * (NORMALISED_LIMIT + 1)
    assert canonical(long) == canonical(long.lower())


def test_an_issuer_is_found_under_another_spelling():
    """Root (UTF8String "Toy Root") <- leaf with the issuer PrintableString "TOY  ROOT"."""
    root = certify("Toy Root")
    spelled = x509.NameAttribute(NameOID.COMMON_NAME, "TOY  ROOT", _ASN1Type.PrintableString)
    leaf = certify("alice", root, ca=False, issuer_name=x509.Name([spelled]))
    assert rules_of(judge(leaf, anchors=[root])) == []


def test_an_excluded_name_does_not_come_back_with_a_soft_hyphen():
    """Root (excluded CN=Evil) <- CN=Ev<soft hyphen>il."""
    root = certify("Root", excluded=[x509.DirectoryName(name("Evil"))])
    leaf = certify("Ev\u00adil", root, ca=False)
    assert rules_of(judge(leaf, anchors=[root])) == ["name-not-permitted"]
    assert rules_of(judge(certify("Good", root, ca=False), anchors=[root])) == []
