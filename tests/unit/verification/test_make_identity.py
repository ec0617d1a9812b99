"""An identity that an operator writes in advance equals the identity that the certificate gives later."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import IDENTITY_LIMIT
from doorward.verification.identity import IdentityRule, SanSource, identify, make_identity
from tests.support.certificates.issuing import certify

EMAIL, DNS, URI, SUBJECT = SanSource.EMAIL, SanSource.DNS, SanSource.URI, SanSource.SUBJECT


def rule(source: SanSource, domain: str = "") -> IdentityRule:
    """A partner's rule for names."""
    return IdentityRule(source=source, kind=PrincipalKind.PERSON, domain=domain)


@pytest.mark.parametrize(
    ("source", "written", "general"),
    [
        (EMAIL, "o'brien@clinic.example", x509.RFC822Name("o'brien@clinic.example")),
        (EMAIL, "Bob@Clinic.EXAMPLE", x509.RFC822Name("Bob@CLINIC.example")),
        (
            EMAIL,
            "a!#$%&'*+-/=?^_`{|}~b@clinic.example",
            x509.RFC822Name("a!#$%&'*+-/=?^_`{|}~b@clinic.example"),
        ),
        (DNS, "PC7.Clinic.example", x509.DNSName("pc7.clinic.EXAMPLE")),
        (URI, "urn:uuid:Ab", x509.UniformResourceIdentifier("urn:uuid:Ab")),
        (URI, "https://Clinic.example/Bob", x509.UniformResourceIdentifier("https://Clinic.example/Bob")),
    ],
)
def test_a_written_name_equals_the_name_in_a_certificate(
    source: SanSource, written: str, general: x509.GeneralName
) -> None:
    """RFC 5280 section 7.5: the host is folded, the local part is not; RFC 5321 atext holds an apostrophe."""
    leaf = certify("x", certify("Root"), ca=False, names=[general]).parsed
    made = make_identity(written, rule(source))
    assert made == identify(leaf, rule(source))
    assert make_identity(made, rule(source)) == made


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    """A subject, most general first."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


BOB = name((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Clinic"), (NameOID.COMMON_NAME, "bob"))
LONG = name(
    *((NameOID.ORGANIZATIONAL_UNIT_NAME, f"Unit {number} " + "x" * 40) for number in range(9)),
    (NameOID.COMMON_NAME, "bob"),
)


@pytest.mark.parametrize(
    ("written", "subject"),
    [
        ("CN=bob,O=Clinic,C=DE", BOB),
        ("cn=bob, o=Clinic, c=DE", BOB),
        ("CN=bob%2CO=Clinic%2CC=DE", BOB),
        ("CN=Müller, Ärztin".replace(",", "\\,"), name((NameOID.COMMON_NAME, "Müller, Ärztin"))),
        ("CN=o'brien", name((NameOID.COMMON_NAME, "o'brien"))),
        ("CN=50% a", name((NameOID.COMMON_NAME, "50% a"))),
        ("emailAddress=a@b,CN=x", name((NameOID.COMMON_NAME, "x"), (NameOID.EMAIL_ADDRESS, "a@b"))),
        (LONG.rfc4514_string(), LONG),
    ],
)
def test_a_subject_is_made_into_an_identity(written: str, subject: x509.Name) -> None:
    """The text is RFC 4514 text, with or without blanks, or the identity itself."""
    leaf = certify(subject, certify("Root"), ca=False).parsed
    made = make_identity(written, rule(SUBJECT))
    assert made == identify(leaf, rule(SUBJECT))
    assert make_identity(made, rule(SUBJECT)) == made


def test_long_subjects_stay_apart() -> None:
    """A subject of more than 200 characters ends with a digest of the whole subject, after a mark that no encoding writes."""
    made = [make_identity(f"CN=bob,OU={'x' * 300}{number}", rule(SUBJECT)) for number in range(2)] + [
        make_identity(f"CN=bob{'x' * 300},OU=a", rule(SUBJECT)),
        make_identity(LONG.rfc4514_string(), rule(SUBJECT)),
    ]
    assert len(set(made)) == len(made)
    assert all(len(one) <= IDENTITY_LIMIT and "%~" in one for one in made)
    assert made[-1].startswith("CN=bob%2COU=Unit%208%20")
    assert "%~" not in make_identity("CN=a%~b", rule(SUBJECT)).replace("%25~", "")


@pytest.mark.parametrize(
    ("source", "domain", "written", "word"),
    [
        (EMAIL, "", "bob", "e-mail"),
        (EMAIL, "", "", "e-mail"),
        (EMAIL, "", "Bob <bob@clinic.example>", "e-mail"),
        (EMAIL, "", '"b b"@clinic.example', "e-mail"),
        (EMAIL, "", "bob@bücher.example", "e-mail"),
        (EMAIL, "", "bob@127.0.0.1", "e-mail"),
        (EMAIL, "", "CN=bob,O=Clinic", "e-mail"),
        (EMAIL, "clinic.example", "bob@other.example", "clinic.example"),
        (DNS, "", "*.clinic.example", "DNS"),
        (DNS, "", "pc7.clinic.example.", "DNS"),
        (DNS, "clinic.example", "pc7.other.example", "clinic.example"),
        (URI, "", "urn:a b", "URI"),
        (URI, "clinic.example", "urn:uuid:a", "clinic.example"),
        (SUBJECT, "", "bob", "RFC 4514"),
        (SUBJECT, "", "/C=DE/CN=bob", "RFC 4514"),
    ],
)
def test_a_name_that_can_never_match_is_refused(
    source: SanSource, domain: str, written: str, word: str
) -> None:
    """The error has a hint that says how such a name is written."""
    with pytest.raises(MalformedInput, match=word) as refused:
        make_identity(written, rule(source, domain))
    assert refused.value.code in ("identity-never-matches", "subject-malformed")
    assert refused.value.hint
