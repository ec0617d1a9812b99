"""Name constraints of every form, name by name."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier

from doorward.core.errors import MalformedInput
from doorward.verification.path.constraints import (
    COMPARISON_LIMIT,
    ComparisonBudget,
    ComparisonsExceeded,
    NameRefused,
    check_names,
    read_names,
    read_subtrees,
)
from doorward.verification.path.names import canonicalise_name
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import judge, rules_of

SUBJECT = x509.Name([])
MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")


def dns(text):
    """A DNS name, or text that is not one: the library parses more than it writes."""
    return x509.DNSName._init_without_validation(text)


def mail(text):
    """A mailbox."""
    return x509.RFC822Name._init_without_validation(text)


def uri(text):
    """A URI, or a host as its subtree."""
    return x509.UniformResourceIdentifier._init_without_validation(text)


def address(text):
    """An address as a name."""
    return x509.IPAddress(ipaddress.ip_address(text))


def network(text):
    """A network as a subtree."""
    return x509.IPAddress(ipaddress.ip_network(text))


def directory(*pairs, kind=_ASN1Type.UTF8String):
    """A directory name of organization and common names."""
    oids = {"O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
    return x509.DirectoryName(x509.Name([x509.NameAttribute(oids[key], value, kind) for key, value in pairs]))


def other(oid):
    """A name of the form otherName, with an identifier that we do not know."""
    return x509.OtherName(ObjectIdentifier(oid), b"\x0c\x01x")


def allowed(name, *, permitted=None, excluded=None, subject=SUBJECT):
    """Whether a certificate with this name is within the constraints."""
    constraints = x509.NameConstraints([permitted] if permitted else None, [excluded] if excluded else None)
    try:
        check_names(
            read_names(subject, canonicalise_name(subject), [name] if name else []),
            read_subtrees(constraints),
            ComparisonBudget(),
        )
    except NameRefused:
        return False
    return True


# name, subtree, allowed if the subtree is permitted, allowed if it is excluded
HELD = [
    (dns("a.example.com"), dns("example.com"), True, False),
    (dns("EXAMPLE.com"), dns("example.COM"), True, False),
    (dns("badexample.com"), dns("example.com"), False, True),
    (dns("example.com"), dns("a.example.com"), False, True),
    (dns("anything.test"), dns(""), True, False),
    (dns("*.example.com"), dns("example.com"), True, False),
    (dns("*.example.com"), dns("a.example.com"), False, False),
    (dns("*.example.com"), dns("other.com"), False, True),
    (dns("*.a.example.com"), dns("example.com"), True, False),
    (dns("a.*.com"), dns("example.com"), False, False),
    (dns("*"), dns("example.com"), False, False),
    (dns("not a host"), dns("example.com"), False, False),
    (dns("10.0.0.1"), dns("example.com"), False, False),
    (dns("\u212aelly.com"), dns("kelly.com"), False, False),
    (dns("example.com."), dns("example.com"), False, False),
    (dns("a" * 64 + ".example.com"), dns("example.com"), False, False),
    (dns("a.example.com"), dns(".example.com"), False, False),
    (mail("joe@example.com"), mail("joe@example.com"), True, False),
    (mail("joe@EXAMPLE.com"), mail("joe@example.com"), True, False),
    (mail("Joe@example.com"), mail("joe@example.com"), False, True),
    (mail("joe@example.com"), mail("example.com"), True, False),
    (mail("joe@a.example.com"), mail("example.com"), False, True),
    (mail("joe@a.example.com"), mail(".example.com"), True, False),
    (mail("joe@example.com"), mail(".example.com"), False, True),
    (mail("joe"), mail("example.com"), False, False),
    (mail("a b@example.com"), mail("example.com"), False, False),
    (mail('"a b"@example.com'), mail("example.com"), True, False),
    (mail("joe@example.com"), mail("@example.com"), False, False),
    (mail("joe@example.com"), mail(""), False, False),
    (uri("https://a.example.com/x"), uri("a.example.com"), True, False),
    (uri("https://a.example.com:443?q"), uri(".example.com"), True, False),
    (uri("https://example.com"), uri(".example.com"), False, True),
    (uri("https://a.example.com"), uri("example.com"), False, True),
    (uri("spiffe://corp.example/person/a"), uri("corp.example"), True, False),
    (uri("https://u:p@example.com/"), uri("example.com"), True, False),
    (uri("https://evil.test\\@example.com/"), uri("example.com"), False, False),
    (uri("https://[2001:db8::1]/"), uri("example.com"), False, False),
    (uri("https://10.0.0.1/"), uri("example.com"), False, False),
    (uri("urn:uuid:1"), uri("example.com"), False, False),
    (address("10.1.2.3"), network("10.0.0.0/8"), True, False),
    (address("11.1.2.3"), network("10.0.0.0/8"), False, True),
    (address("11.1.2.3"), network("0.0.0.0/0"), True, False),
    (address("2001:db8::1"), network("2001:db8::/32"), True, False),
    (address("2001:db9::1"), network("2001:db8::/32"), False, True),
    (address("2001:db8::1"), network("0.0.0.0/0"), False, True),
    (address("10.0.0.1"), network("::/0"), False, True),
    (directory(("O", "A"), ("CN", "x")), directory(("O", "A")), True, False),
    (directory(("O", " a")), directory(("O", "A"), kind=_ASN1Type.PrintableString), True, False),
    (directory(("O", "B"), ("CN", "x")), directory(("O", "A")), False, True),
    (directory(("O", "A")), directory(("O", "A"), ("CN", "x")), False, True),
    (directory(("CN", "x"), ("O", "A")), directory(("O", "A")), False, True),
    (directory(("O", "A")), directory(), True, False),
    (other("1.2.3"), other("1.2.3"), False, False),
    (x509.RegisteredID(ObjectIdentifier("1.2.3")), x509.RegisteredID(ObjectIdentifier("1.2")), False, False),
    (x509.OtherName(MAILBOX, b"\x0c\x01x"), mail("example.com"), False, False),
]


@pytest.mark.parametrize(
    ("name", "subtree", "in_permitted", "out_of_excluded"),
    HELD,
    ids=[f"{number}-{name.value}" for number, (name, *_) in enumerate(HELD)],
)
def test_a_name_against_a_subtree(name, subtree, in_permitted, out_of_excluded):
    """A name is good if it is certainly in a permitted subtree, or certainly in no excluded one."""
    assert allowed(name, permitted=subtree) is in_permitted
    assert allowed(name, excluded=subtree) is out_of_excluded


@pytest.mark.parametrize(
    ("name", "subtree"),
    [
        (dns("a.test"), mail("example.com")),
        (mail("a@a.test"), dns("example.com")),
        (uri("https://a.test/"), dns("example.com")),
        (address("10.0.0.1"), dns("example.com")),
        (other("1.2.3"), dns("example.com")),
        (other("1.2.3"), other("1.2.4")),
        (None, dns("example.com")),
    ],
)
def test_a_subtree_constrains_its_form_only(name, subtree):
    """A name of another form is good, permitted or excluded."""
    assert allowed(name, permitted=subtree)
    assert allowed(name, excluded=subtree)


def test_excluded_comes_before_permitted():
    """A name in both is refused; one in the permitted only is good."""
    constraints = x509.NameConstraints([dns("example.com"), dns("example.org")], [dns("evil.example.com")])
    subtrees = read_subtrees(constraints)
    budget = ComparisonBudget()
    for good in ("a.example.com", "example.org"):
        check_names(read_names(SUBJECT, canonicalise_name(SUBJECT), [dns(good)]), subtrees, budget)
    with pytest.raises(NameRefused, match="dns is in an excluded"):
        check_names(
            read_names(SUBJECT, canonicalise_name(SUBJECT), [dns("x.evil.example.com")]), subtrees, budget
        )
    with pytest.raises(NameRefused, match="dns is in no permitted"):
        check_names(
            read_names(SUBJECT, canonicalise_name(SUBJECT), [dns("a.example.com"), dns("a.test")]),
            subtrees,
            budget,
        )


def test_the_subject_is_a_directory_name():
    """CN=alice is compared with directory names; an empty subject is no name."""
    alice = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    assert allowed(None, permitted=directory(("CN", "Alice")), subject=alice)
    assert not allowed(None, excluded=directory(("CN", "Alice")), subject=alice)
    assert allowed(None, permitted=directory(("CN", "Alice")))


def test_an_address_in_the_subject_counts_if_there_is_no_other():
    """The emailAddress in the subject, without and with an rfc822Name."""
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "joe@evil.test")])
    good = mail("example.com")
    assert not allowed(None, permitted=good, subject=subject)
    assert not allowed(dns("a.test"), permitted=good, subject=subject)
    assert allowed(mail("joe@example.com"), permitted=good, subject=subject)
    assert allowed(None, permitted=mail("evil.test"), subject=subject)


def test_comparisons_are_counted():
    """Two names against three subtrees are six comparisons; a seventh is too many."""
    subtrees = read_subtrees(x509.NameConstraints([dns("a.test"), dns("b.test")], [dns("c.test")]))
    names = read_names(SUBJECT, canonicalise_name(SUBJECT), [dns("a.test"), dns("b.test")])
    budget = ComparisonBudget(6)
    check_names(names, subtrees, budget)
    assert budget.left == 0
    with pytest.raises(ComparisonsExceeded):
        check_names(names, subtrees, budget)
    assert ComparisonBudget().left == COMPARISON_LIMIT


@pytest.mark.parametrize("bound", [b"\x80\x01\x01", b"\x81\x01\x02"], ids=["minimum", "maximum"])
def test_a_subtree_with_minimum_or_maximum_is_malformed(bound):
    """Section 4.2.1.10 allows a refusal; if the bound were ignored, more names would be permitted."""
    oid = x509.NameConstraints.oid
    for extra, good in ((b"", True), (bound, False)):
        value = tlv(0x30, tlv(0xA0, tlv(0x30, tlv(0x82, b"example.com"), extra)))
        root = certify("Root", raw=[(oid, value, True)])
        if good:
            assert root.parsed.subtrees.permitted["dns"]
        else:
            with pytest.raises(MalformedInput):
                assert root.parsed


def test_constraints_of_all_authorities_hold_together():
    """Root (permitted example.com) <- Issuing (excluded a.example.com) <- leaf."""
    root = certify("Root", permitted=[dns("example.com")])
    issuing = certify("Issuing", root, excluded=[dns("a.example.com")])
    for host, rules in (
        ("b.example.com", []),
        ("a.example.com", ["name-not-permitted"]),
        ("b.test", ["name-not-permitted"]),
    ):
        leaf = certify("leaf", issuing, ca=False, names=[dns(host)])
        assert rules_of(judge(leaf, issuing, anchors=[root])) == rules
