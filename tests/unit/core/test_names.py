"""Names of principals and hosts."""

from __future__ import annotations

from functools import partial

import pytest

from doorward.core import names
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import PrincipalUri
from tests.support import refusals

code_of = partial(refusals.code_of, kind=MalformedInput)


@pytest.mark.parametrize("text", ["a", "0", "alice", "alice.smith-2_b", "a" * 63, "a..b", "x-"])
def test_principal_names_that_fit_come_back_as_they_are(text):
    """A name within the rule is returned unchanged."""
    assert names.parse_principal_name(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "-a", "_a", "a" * 64, "al ice", "a/b", "é", "alice\n", "a%62"]
)
def test_principal_names_that_do_not_fit_are_refused(text):
    """A name that could be taken for something else is malformed."""
    assert code_of(names.parse_principal_name, text) == "name-malformed"


def test_upper_case_is_refused_with_a_hint():
    """Upper case is not converted silently: the hint gives the lower-case name."""
    with pytest.raises(MalformedInput) as caught:
        names.parse_principal_name("Alice")
    assert "write alice" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("corp.example", "corp.example"),
        ("LocalHost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a-1.b2", "a-1.b2"),
        (".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
    ],
)
def test_dns_names_are_folded_to_lower_case(text, name):
    """DNS does not tell cases apart, so host names are folded."""
    assert names.parse_dns_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b.example",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "bücher.example",
        "\u212aelvin.example",  # KELVIN SIGN folds to an ASCII k
        "127.0.0.1",
        "a.1",
        "*.corp.example",
        "a b",
        "a\n",
    ],
)
def test_what_is_no_host_name_is_refused(text):
    """Numbers in the last label, empty labels and foreign characters are malformed."""
    assert code_of(names.parse_dns_name, text) == "dns-name-malformed"


def test_a_wildcard_stands_for_one_leftmost_label_below_two_others():
    """`*.corp.example` is accepted if wildcards are allowed; `*.example` and others are not."""
    assert names.parse_dns_name("*.Corp.example", wildcard=True) == "*.corp.example"
    for text in ("*.example", "*", "a.*.example", "*a.corp.example", "*.*.corp.example"):
        assert code_of(names.parse_dns_name, text, wildcard=True) == "dns-name-malformed"


def test_a_trust_domain_is_written_in_lower_case():
    """A trust domain is compared byte for byte, so only the folded spelling is one."""
    assert names.parse_trust_domain("corp.example") == "corp.example"
    for text in ("", "Corp.example", "corp.example/", "1.2.3.4", "corp.example:443"):
        assert code_of(names.parse_trust_domain, text) == "trust-domain-malformed"


def test_a_principal_uri_round_trips():
    """What is rendered parses back to the same parts."""
    text = names.render_principal_uri("corp.example", PrincipalKind.DEVICE, "cam-7")
    assert text == "spiffe://corp.example/device/cam-7"
    uri = names.parse_principal_uri(text)
    assert uri == PrincipalUri(trust_domain="corp.example", kind=PrincipalKind.DEVICE, name="cam-7")
    assert str(uri) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://corp.example",
        "spiffe://corp.example/person",
        "spiffe://corp.example/person/",
        "spiffe://corp.example/person/alice/",
        "spiffe://corp.example/person/alice?x=1",
        "spiffe://corp.example/person/alice#x",
        "spiffe://corp.example/person/%61lice",
        "spiffe://corp.example/person/Alice",
        "spiffe://corp.example/person/..",
        "spiffe://corp.example//alice",
        "spiffe://corp.example/robot/alice",
        "spiffe://corp.example/Person/alice",
        "spiffe://Corp.example/person/alice",
        "spiffe://corp.example:443/person/alice",
        "spiffe://a@corp.example/person/alice",
        "SPIFFE://corp.example/person/alice",
        "https://corp.example/person/alice",
        "corp.example/person/alice",
        " spiffe://corp.example/person/alice",
        "spiffe://corp.example/person/alice\n",
        "spiffe://corp.example/person/" + "a" * 2048,
    ],
)
def test_anything_else_names_no_principal(text):
    """A principal's URI has one spelling."""
    assert code_of(names.parse_principal_uri, text) == "principal-uri-malformed"


def test_an_impossible_principal_uri_cannot_be_made():
    """The constructor refuses parts that break their rules."""
    assert code_of(names.render_principal_uri, "Corp", PrincipalKind.PERSON, "a") == "trust-domain-malformed"
    assert code_of(names.render_principal_uri, "corp", PrincipalKind.PERSON, "A") == "name-malformed"


def test_our_own_hosts_are_below_the_trust_domain() -> None:
    """The enrolment host is one of them, and no other trust domain's is."""
    assert names.own_hosts("corp.example") == {
        "enroll.corp.example",
        "est.corp.example",
        "portal.corp.example",
    }
    assert names.enrolment_host("corp.example") in names.own_hosts("corp.example")
    assert names.portal_host("corp.example") in names.own_hosts("corp.example")
    assert names.enrolment_host("other.example") not in names.own_hosts("corp.example")


@pytest.mark.parametrize("identity", ["a", "alice@clinic.example", "spiffe://a/b/c", "CN=a%20b", "x" * 200])
def test_a_partners_principal_is_named_by_both(identity):
    """The first `/` divides, so that a name has one reading; it is no name of our own."""
    text = names.render_partner_principal_name("clinic", identity)
    assert text == f"clinic/{identity}"
    assert names.parse_partner_principal_name(text) == ("clinic", identity)
    assert code_of(names.parse_principal_name, text) == "name-malformed"


@pytest.mark.parametrize("identity", ["", "a b", "a,b", "a\\b", 'a"b', "a\n", "\x7f", "é", "x" * 201])
def test_an_identity_that_could_break_out_of_a_header_is_refused(identity):
    """Names go into lists, headers and logs as they are."""
    assert code_of(names.parse_partner_identity, identity) == "partner-identity-malformed"
    assert code_of(names.render_partner_principal_name, "clinic", identity) == "partner-identity-malformed"
    assert code_of(names.parse_partner_principal_name, f"clinic/{identity}") == "partner-identity-malformed"


@pytest.mark.parametrize("text", ["", "/", "/a", "Clinic/a", "a b/c"])
def test_a_partners_principal_without_a_partner_is_refused(text):
    """The partner's name has the grammar of our own names."""
    assert code_of(names.parse_partner_principal_name, text) == "name-malformed"
