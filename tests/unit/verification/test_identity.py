"""Certificate to principal."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import PrincipalUri
from doorward.verification.identity import IdentityRule, SanSource, find_principal_uri, identify, is_named
from tests.support.certificates.issuing import TRUST_DOMAIN, certify
from tests.support.records import principal

ALICE = principal("alice", id="per_alice")
URI = "spiffe://corp.example/person/alice"


def test_one_uri_names_one_principal():
    """The parts are those of the URI."""
    wanted = PrincipalUri(trust_domain=TRUST_DOMAIN, kind=PrincipalKind.PERSON, name="alice")
    assert find_principal_uri([URI]) == wanted
    assert is_named([URI], ALICE, TRUST_DOMAIN)


@pytest.mark.parametrize("uris", [[], [URI, URI], [URI, "https://x.example"], ["https://x.example"], [""]])
def test_no_uri_two_uris_and_foreign_ones_name_no_principal(uris):
    """A relying party that reads the other URI would identify another holder."""
    assert find_principal_uri(uris) is None
    assert not is_named(uris, ALICE, TRUST_DOMAIN)


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://corp.example/person/bob",
        "spiffe://corp.example/device/alice",
        "spiffe://corp.example/service/alice",
        "spiffe://evil.example/person/alice",
        "spiffe://corp.example.evil.example/person/alice",
    ],
)
def test_another_principal_is_not_this_one(uri):
    """Another name, kind or trust domain is another principal."""
    assert not is_named([uri], ALICE, TRUST_DOMAIN)


ROOT = certify("Root")
EMAIL, DNS, URI_SAN = x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier


def identity_of(source, *names, domain="", subject="alice"):
    """What a partner's certificate with these names says."""
    leaf = certify(subject, ROOT, ca=False, names=names)
    rule = IdentityRule(source=source, kind=PrincipalKind.PERSON, domain=domain)
    return identify(leaf.parsed, rule)


class TestPartnerNames:
    """The identity in a partner's certificate."""

    @pytest.mark.parametrize(
        ("source", "written", "identity"),
        [
            (SanSource.EMAIL, EMAIL("Alice.B@Clinic.EXAMPLE"), "Alice.B@clinic.example"),
            (SanSource.DNS, DNS("Pump-1.Clinic.example"), "pump-1.clinic.example"),
            (SanSource.URI, URI_SAN("https://Clinic.example/Alice"), "https://Clinic.example/Alice"),
            (
                SanSource.URI,
                URI_SAN("spiffe://clinic.example/ns/a/sa/b"),
                "spiffe://clinic.example/ns/a/sa/b",
            ),
            (SanSource.URI, URI_SAN("urn:uuid:7d4"), "urn:uuid:7d4"),
        ],
    )
    def test_one_name_of_the_form_is_the_identity(self, source, written, identity):
        """Only parts without case are converted to lower case; names of other forms do not matter."""
        others = [EMAIL("x@x.example"), DNS("x.example"), URI_SAN("https://x.example")]
        beside = [one for one in others if type(one) is not type(written)]
        assert identity_of(source, written) == identity
        assert identity_of(source, *beside, written) == identity

    @pytest.mark.parametrize("source", [SanSource.EMAIL, SanSource.DNS, SanSource.URI])
    def test_no_name_and_two_names_are_no_identity(self, source):
        """The same name twice is one."""
        first, second = {
            SanSource.EMAIL: (EMAIL("a@x.example"), EMAIL("b@x.example")),
            SanSource.DNS: (DNS("a.example"), DNS("b.example")),
            SanSource.URI: (URI_SAN("https://a.example"), URI_SAN("https://b.example")),
        }[source]
        assert identity_of(source) is None
        assert identity_of(source, first, second) is None
        assert identity_of(source, first, first) is not None

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            (SanSource.EMAIL, EMAIL("clinic.example")),
            (SanSource.EMAIL, EMAIL("alice@clinic.example.")),
            (SanSource.EMAIL, EMAIL('"alice,b"@clinic.example')),
            (SanSource.EMAIL, EMAIL("a" * 190 + "@clinic.example")),
            (SanSource.DNS, DNS("*.clinic.example")),
            (SanSource.DNS, DNS("clinic.example.")),
            (SanSource.DNS, DNS("192.0.2.1")),
            (SanSource.URI, URI_SAN("https://clinic.example/a b")),
            (SanSource.URI, URI_SAN("https://clinic.example/a,b")),
            (SanSource.URI, URI_SAN("https://clinic.example/a\\b")),
            (SanSource.URI, URI_SAN("")),
        ],
    )
    def test_a_name_that_could_break_out_of_a_list_is_none(self, source, text):
        """Neither is one that is not of its form, nor a wildcard, which names no single holder."""
        assert identity_of(source, text) is None

    def test_an_address_beyond_ascii_is_a_second_one(self):
        """It cannot be read here, and another party would read it."""
        mailbox = x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x03a@b")
        assert identity_of(SanSource.EMAIL, EMAIL("a@x.example"), mailbox) is None
        assert identity_of(SanSource.EMAIL, mailbox) is None

    def test_an_address_in_the_subject_is_none(self):
        """It is not a general name: the author of a common name could choose another holder's identity."""
        subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "alice@clinic.example")])
        assert identity_of(SanSource.EMAIL, subject=subject) is None
        assert identity_of(SanSource.EMAIL, DNS("x.example"), subject=subject) is None

    @pytest.mark.parametrize(
        ("source", "make"),
        [
            (SanSource.EMAIL, lambda host: EMAIL(f"alice@{host}")),
            (SanSource.DNS, DNS),
            (SanSource.URI, lambda host: URI_SAN(f"spiffe://{host}/a")),
        ],
    )
    def test_a_domain_holds_itself_and_what_is_below(self, source, make):
        """Whole labels count."""
        for host in ("clinic.example", "ward.clinic.example", "Ward.CLINIC.example"):
            assert identity_of(source, make(host), domain="clinic.example") is not None
        for host in ("evilclinic.example", "example", "clinic.example.evil.example"):
            assert identity_of(source, make(host), domain="clinic.example") is None

    @pytest.mark.parametrize(
        "text", ["urn:uuid:7d4", "https://clinic.example@evil.example/", "clinic.example"]
    )
    def test_a_uri_without_a_host_of_the_domain_is_outside(self, text):
        """User information is no host."""
        assert identity_of(SanSource.URI, URI_SAN(text), domain="clinic.example") is None

    def test_a_subject_is_its_text_and_stays_one_word(self):
        """RFC 4514, most specific part first; characters that an identity must not contain, and `%`, are percent-encoded."""
        attributes = [(NameOID.ORGANIZATION_NAME, "Clinic, Ltd"), (NameOID.COMMON_NAME, "Zo\u00eb 100%")]
        subject = x509.Name([x509.NameAttribute(*one) for one in attributes])
        wanted = "CN=Zo%C3%AB%20100%25%2CO=Clinic%5C%2C%20Ltd"
        assert identity_of(SanSource.SUBJECT, subject=subject) == wanted
        assert identity_of(SanSource.SUBJECT) == "CN=alice"
        assert identity_of(SanSource.SUBJECT, DNS("x.example"), subject="") is None

    @pytest.mark.parametrize(
        ("source", "domain"),
        [
            (SanSource.EMAIL, "Clinic.example"),
            (SanSource.DNS, ".clinic.example"),
            (SanSource.URI, "https://clinic.example"),
            (SanSource.SUBJECT, "clinic.example"),
        ],
    )
    def test_a_domain_that_could_hold_nothing_is_refused(self, source, domain):
        """Such a rule would refuse all holders, or mean less than it seems to."""
        with pytest.raises(MalformedInput) as refused:
            IdentityRule(source=source, kind=PrincipalKind.PERSON, domain=domain)
        assert (refused.value.code, "clinic.example" in refused.value.hint) == (
            "identity-domain-malformed",
            True,
        )
