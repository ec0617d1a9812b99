"""An operator's own subtrees bind a path as if its anchor had them; their text is parsed in any case."""

from __future__ import annotations

import contextlib
import functools
import ipaddress

from cryptography import x509
from hypothesis import event, given, settings
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.constraints import ComparisonBudget
from doorward.verification.path.subtree_text import parse_subtree
from doorward.verification.path.validation import check_path
from tests.support.certificates.issuing import CertifiedKey, cached_key, certify
from tests.support.examples import examples

DN = x509.Name.from_rfc4514_string
SUBTREES = {
    "dns:": x509.DNSName(""),
    "dns:clinic.example": x509.DNSName("clinic.example"),
    "dns:ward.clinic.example": x509.DNSName("ward.clinic.example"),
    "email:clinic.example": x509.RFC822Name("clinic.example"),
    "email:.clinic.example": x509.RFC822Name(".clinic.example"),
    "email:alice@clinic.example": x509.RFC822Name("alice@clinic.example"),
    "uri:clinic.example": x509.UniformResourceIdentifier("clinic.example"),
    "uri:.clinic.example": x509.UniformResourceIdentifier(".clinic.example"),
    "ip:10.0.0.0/8": x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
    "ip:2001:db8::/32": x509.IPAddress(ipaddress.ip_network("2001:db8::/32")),
    "dn:O=Clinic": x509.DirectoryName(DN("O=Clinic")),
    "dn:CN=alice,O=Clinic": x509.DirectoryName(DN("CN=alice,O=Clinic")),
    "dn:": x509.DirectoryName(DN("")),
}
NAMES = (
    x509.DNSName("clinic.example"),
    x509.DNSName("*.clinic.example"),
    x509.DNSName("a.ward.clinic.example"),
    x509.DNSName("other.example"),
    x509.RFC822Name("alice@clinic.example"),
    x509.RFC822Name("bob@ward.clinic.example"),
    x509.UniformResourceIdentifier("https://ward.clinic.example/"),
    x509.UniformResourceIdentifier("urn:a:b"),
    x509.IPAddress(ipaddress.ip_address("10.1.2.3")),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
)
SUBJECTS = ("CN=alice,O=Clinic", "CN=bob,O=Other", "")
ROOT = certify("Root")
TEXTS = st.lists(st.sampled_from([*SUBTREES]), max_size=4, unique=True)


@functools.cache
def below(subject: str, issuer_subject: str, names: tuple[x509.GeneralName, ...]) -> tuple[CertifiedKey, ...]:
    """Leaf, an authority, itself with a new key, Root: made once for all examples."""
    keys = [cached_key(KeyKind.P256, number) for number in (8, 9, 10)]
    issuing = certify(DN(issuer_subject), ROOT, key=keys[0])
    again = certify(DN(issuer_subject), issuing, key=keys[1], names=NAMES[3:4])
    leaf = certify(DN(subject), again, ca=False, key=keys[2], names=names, names_critical=True)
    return leaf, again, issuing


@settings(max_examples=examples(200))
@given(
    TEXTS,
    TEXTS,
    st.sampled_from(SUBJECTS),
    st.sampled_from(["CN=Issuing,O=Clinic", "CN=Issuing"]),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
)
def test_initial_subtrees_are_the_anchors(permitted, excluded, subject, issuer_subject, names):
    """The same certificates break the same rules, independent of the source of the constraint."""
    path = [one.parsed for one in below(subject, issuer_subject, tuple(names))]
    constrained = certify(
        "Root",
        key=ROOT.key,
        permitted=[SUBTREES[one] for one in permitted],
        excluded=[SUBTREES[one] for one in excluded],
    )
    inputs = PathInputs(
        initial_permitted=tuple(parse_subtree(one) for one in permitted),
        initial_excluded=tuple(parse_subtree(one) for one in excluded),
    )
    by_anchor = check_path((*path, constrained.parsed), PathInputs(), ComparisonBudget())
    by_inputs = check_path((*path, ROOT.parsed), inputs, ComparisonBudget())
    event("refused" if by_inputs else "good")
    assert [(one.rule, one.certificate) for one in by_inputs] == [
        (one.rule, one.certificate) for one in by_anchor
    ]


@given(st.sampled_from(["", "dns:", "email:", "uri:", "ip:", "dn:", "dn:O="]), st.text(max_size=30))
def test_parsing_is_total(form, rest):
    """Any text is a subtree, or malformed."""
    with contextlib.suppress(MalformedInput):
        parse_subtree(form + rest)
