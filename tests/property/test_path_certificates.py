"""Parsing for paths is total; names and constraints behave as simple models of them do."""

from __future__ import annotations

import contextlib
import ipaddress
import time
import warnings

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.errors import MalformedInput
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.constraints import (
    ComparisonBudget,
    NameRefused,
    check_names,
    read_names,
    read_subtrees,
)
from doorward.verification.path.names import canonicalise_name
from tests.support.certificates.issuing import certify
from tests.support.examples import examples

ROOT = certify(
    "Root",
    permitted=[x509.DNSName("example.com"), x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))],
    policy={"valid": ["1.2.3"], "mappings": [("1.2.3", "1.2.4")], "explicit": 1, "inhibit_any": 2},
)
LEAF = certify("alice", ROOT, ca=False, names=[x509.DNSName("a.test"), x509.RFC822Name("a@a.test")])
SEEDS = (ROOT.der, LEAF.der)
WORDS = st.text(alphabet="abcxyzÄÖéßñ", min_size=1, max_size=8)
STRING_TYPES = st.sampled_from([_ASN1Type.UTF8String, _ASN1Type.BMPString, _ASN1Type.UniversalString])
LABELS = st.sampled_from(["a", "b", "ab", "example", "com"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
NETWORKS = st.builds(
    lambda number, bits: ipaddress.ip_network((number << 24, bits), strict=False),
    st.integers(0, 255),
    st.integers(0, 32),
) | st.builds(
    lambda number, bits: ipaddress.ip_network((number << 120, bits), strict=False),
    st.integers(0, 255),
    st.integers(0, 128),
)
ADDRESSES = NETWORKS.map(lambda network: network.network_address)


def parse(der: bytes) -> None:
    """A value or MalformedInput, in a few seconds of this process at most."""
    began = time.process_time()
    with warnings.catch_warnings(), contextlib.suppress(MalformedInput):
        warnings.simplefilter("ignore")
        parse_path_certificate(der)
    assert time.process_time() - began < 5


@settings(max_examples=examples(150), deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_certificate_or_malformed(der):
    """Random bytes."""
    parse(der)


@settings(max_examples=examples(400), deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_mutated_certificates_are_read_or_malformed(der, edits):
    """A few octets of a certificate changed."""
    changed = bytearray(der)
    for position, octet in edits:
        changed[position % len(changed)] = octet
    parse(bytes(changed))


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=40))
def test_spliced_certificates_are_read_or_malformed(der, start, length, piece):
    """A piece of a certificate replaced by another."""
    start %= len(der)
    parse(der[:start] + piece + der[start + length :])


def name_of(words, kinds, attribute=NameOID.DN_QUALIFIER):
    """A name of one attribute for each text, in the given string types."""
    pairs = zip(words, kinds, strict=False)
    return x509.Name([x509.NameAttribute(attribute, word, kind, _validate=False) for word, kind in pairs])


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_spelling_makes_no_other_name(values, data):
    """Case, white space and string type changed at will: the same name."""

    def respell(words):
        spaced = [data.draw(st.sampled_from([" ", "  ", "\t", "\u00a0"])).join(words)]
        edge = data.draw(st.sampled_from(["", " "]))
        turn = data.draw(st.sampled_from([str.lower, str.title, str.swapcase, str]))
        return edge + turn(spaced[0]) + edge

    plain = [" ".join(words) for words in values]
    kinds = [data.draw(STRING_TYPES) for _ in values]
    spelled = name_of([respell(words) for words in values], kinds)
    assert canonicalise_name(spelled) == canonicalise_name(
        name_of(plain, [_ASN1Type.UTF8String] * len(plain))
    )


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=3))
def test_other_words_make_another_name(one, other):
    """Names are equal exactly if their folded words are."""
    kinds = [_ASN1Type.UTF8String] * 3
    equal = canonicalise_name(name_of(one, kinds)) == canonicalise_name(name_of(other, kinds))
    assert equal is ([word.casefold() for word in one] == [word.casefold() for word in other])


@settings(deadline=None)
@given(st.text(max_size=40))
def test_canonical_names_are_stable(text):
    """What was made canonical once stays as it is."""
    once = canonicalise_name(name_of([text], [_ASN1Type.UTF8String]))
    assert canonicalise_name(name_of([once[0][0][1]], [_ASN1Type.UTF8String])) == once


def allows(name, permitted, excluded):
    """What the product says about one name."""
    subtrees = read_subtrees(x509.NameConstraints(permitted or None, excluded or None))
    try:
        check_names(read_names(x509.Name([]), (), [name]), subtrees, ComparisonBudget())
    except NameRefused:
        return False
    return True


def model_allows(name, permitted, excluded, inside):
    """RFC 5280 section 4.2.1.10 in one line."""
    return not any(inside(name, one) for one in excluded) and (
        not permitted or any(inside(name, one) for one in permitted)
    )


def host_inside(host, tree):
    """Labels from the right."""
    labels, wanted = host.split("."), tree.split(".")
    return labels[-len(wanted) :] == wanted


def uri_host_inside(host, tree):
    """The host itself, or for a leading dot at least one label more."""
    if not tree.startswith("."):
        return host == tree
    return host_inside(host, tree[1:]) and host != tree[1:]


def network_inside(address, network):
    """The same family, and the same leading bits."""
    if address.version != network.version:
        return False
    shift = address.max_prefixlen - network.prefixlen
    return int(address) >> shift == int(network.network_address) >> shift


SUBTREES = st.lists(HOSTS, max_size=2)
DOTTED = st.lists(st.builds("".join, st.tuples(st.sampled_from(["", "."]), HOSTS)), max_size=2)


@settings(deadline=None)
@given(HOSTS, SUBTREES, SUBTREES)
def test_dns_constraints_are_as_the_model(host, permitted, excluded):
    """Host names against host names."""
    if not permitted and not excluded:
        return
    found = allows(
        x509.DNSName(host), [x509.DNSName(one) for one in permitted], [x509.DNSName(one) for one in excluded]
    )
    assert found is model_allows(host, permitted, excluded, host_inside)


@pytest.mark.parametrize("form", ["uri", "email"])
@settings(deadline=None)
@given(host=HOSTS, permitted=DOTTED, excluded=DOTTED)
def test_uri_and_email_constraints_are_as_the_model(form, host, permitted, excluded):
    """Hosts and domains against URIs and addresses."""
    if not permitted and not excluded:
        return
    kind = x509.UniformResourceIdentifier if form == "uri" else x509.RFC822Name
    name = kind(f"https://{host}/x" if form == "uri" else f"joe@{host}")

    def trees(texts):
        return [kind._init_without_validation(one) for one in texts]

    found = allows(name, trees(permitted), trees(excluded))
    assert found is model_allows(host, permitted, excluded, uri_host_inside)


@settings(deadline=None)
@given(ADDRESSES, st.lists(NETWORKS, max_size=2), st.lists(NETWORKS, max_size=2))
def test_address_constraints_are_as_the_model(address, permitted, excluded):
    """Addresses of both families against networks of both families."""
    if not permitted and not excluded:
        return
    found = allows(
        x509.IPAddress(address),
        [x509.IPAddress(one) for one in permitted],
        [x509.IPAddress(one) for one in excluded],
    )
    assert found is model_allows(address, permitted, excluded, network_inside)
