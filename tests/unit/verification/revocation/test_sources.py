"""Where revocation is looked up, and the request that is sent there."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from doorward.core.errors import MalformedInput
from doorward.pki.ocsp import parse_ocsp_request
from doorward.verification.revocation.sources import (
    build_ocsp_request,
    crl_urls,
    may_serve,
    ocsp_urls,
    parse_source,
)
from tests.support.certificates.issuing import certify, name, with_serial
from tests.support.certificates.status import list_of, scope
from tests.support.refusals import refused

ROOT = certify("Root")
OTHER = certify("Other", ROOT)
HERE, THERE = "http://a.example/1", "http://a.example/2"
LEAF = certify("alice", ROOT, ca=False)
UriName = x509.UniformResourceIdentifier


def points(*full_names, **words):
    """The distribution points of a certificate."""
    one = {"relative_name": None, "reasons": None, "crl_issuer": None, **words}
    return x509.CRLDistributionPoints([x509.DistributionPoint(full_name=full, **one) for full in full_names])


def accesses(*pairs):
    """The authority information access of a certificate."""
    return x509.AuthorityInformationAccess([x509.AccessDescription(method, where) for method, where in pairs])


def leaf(extension):
    """A leaf with one more extension."""
    return certify("alice", ROOT, ca=False, extra=[(extension, False)]).parsed


def test_crls_are_named_by_http_urls():
    """The full names that are http and https URLs count, in order, each once; all others lead elsewhere."""
    extension = points(
        [UriName("ldap://a.example/cn=a"), UriName("http://a.example/1"), x509.DirectoryName(name("CRL"))],
        [UriName("HTTPS://a.example/2"), UriName("http://a.example/1")],
        [UriName("http://a.example/" + "x" * 2048)],
    )
    assert crl_urls(leaf(extension)) == ("http://a.example/1", "HTTPS://a.example/2")


def test_a_point_without_a_full_name_names_no_url():
    """A point that names only its issuer leads to a directory."""
    extension = points(None, crl_issuer=[x509.DirectoryName(name("CRL"))])
    assert crl_urls(leaf(extension)) == ()
    assert crl_urls(LEAF.parsed) == ()


def test_a_list_of_its_issuer_is_taken_from_where_it_says():
    """At its own address a certificate takes its issuer's list; no sibling's, and none from elsewhere."""
    certificate = leaf(points([UriName(THERE)], [UriName("ldap://a.example/"), UriName(HERE)]))
    assert may_serve(certificate, HERE, list_of(ROOT))
    assert not may_serve(certificate, HERE, list_of(OTHER))
    assert not may_serve(certificate, HERE, list_of(OTHER, scope=scope(indirect_crl=True)))
    assert not may_serve(certificate, "http://a.example/3", list_of(ROOT))
    assert not may_serve(LEAF.parsed, HERE, list_of(ROOT))


def test_a_crl_issuer_that_is_named_is_taken_where_it_is_named():
    """A point with a CRL issuer accepts only that issuer's indirect CRL; a sibling without one accepts its own issuer's."""
    named = [UriName("http://a.example/"), x509.DirectoryName(name("OTHER"))]
    elsewhere = points([UriName(THERE)]), points([UriName(HERE)], crl_issuer=named)
    certificate = leaf(x509.CRLDistributionPoints([one for point in elsewhere for one in point]))
    indirect = scope(indirect_crl=True)
    assert may_serve(certificate, HERE, list_of(OTHER, scope=indirect))
    assert not may_serve(certificate, HERE, list_of(OTHER))
    assert not may_serve(certificate, HERE, list_of(ROOT, scope=indirect))
    assert not may_serve(certificate, THERE, list_of(OTHER, scope=indirect))
    assert may_serve(certificate, THERE, list_of(ROOT, scope=indirect))


def test_a_point_that_names_its_own_issuer_takes_its_plain_list():
    """4.2.1.13 forbids it, but it does no harm: it is the issuer's own CRL."""
    certificate = leaf(points([UriName(HERE)], crl_issuer=[x509.DirectoryName(name("Root"))]))
    assert may_serve(certificate, HERE, list_of(ROOT))
    assert not may_serve(certificate, HERE, list_of(OTHER))


def test_a_certificate_names_a_few_sources():
    """However many URLs a certificate names, eight are taken."""
    extension = points(*([UriName(f"http://a.example/{number}")] for number in range(20)))
    assert crl_urls(leaf(extension)) == tuple(f"http://a.example/{number}" for number in range(8))


def test_responders_are_named_by_http_urls():
    """Only OCSP accesses with http and https URLs count."""
    extension = accesses(
        (Access.CA_ISSUERS, UriName("http://a.example/ca")),
        (Access.OCSP, UriName("ldap://a.example/")),
        (Access.OCSP, UriName("http://a.example/ocsp")),
    )
    assert ocsp_urls(leaf(extension)) == ("http://a.example/ocsp",)
    assert ocsp_urls(LEAF.parsed) == ()


@pytest.mark.parametrize(
    "url", ["http://[", "http://[west]/crl", "http://", "http:///crl", "http://a.example/\x00", "http://a b/"]
)
def test_what_is_no_url_is_no_source(url):
    """An address that cannot be split, has no host or is not printable is left out."""
    assert crl_urls(leaf(points([UriName(url)], [UriName("http://a.example/1")]))) == ("http://a.example/1",)
    assert ocsp_urls(leaf(accesses((Access.OCSP, UriName(url))))) == ()


def test_a_question_names_one_certificate():
    """The request contains the hashes of the issuer's name and key and the serial number, and nothing more."""
    question = parse_ocsp_request(build_ocsp_request(LEAF.parsed, ROOT.parsed))
    assert (question.hash_name, question.serial, question.nonce) == ("sha1", 7, None)
    assert question.issuer_key_hash == hashlib.sha1(ROOT.parsed.key_bits).digest()
    request = ocsp.load_der_ocsp_request(build_ocsp_request(LEAF.parsed, ROOT.parsed))
    assert len(request.extensions) == 0


def test_a_nonce_is_sent_if_one_is_given():
    """A nonce stands in the question as it is."""
    question = parse_ocsp_request(build_ocsp_request(LEAF.parsed, ROOT.parsed, b"n" * 32))
    assert question.nonce == b"n" * 32


@pytest.mark.parametrize("serial", [b"\x00", b"\xff", b"\x01" + b"\0" * 20], ids=["zero", "negative", "long"])
def test_a_serial_out_of_range_cannot_be_asked_for(serial):
    """A serial number that RFC 5280 forbids cannot be asked for."""
    odd = with_serial(LEAF, ROOT.key, serial)
    with refused(MalformedInput, "ocsp-request-unbuildable"):
        build_ocsp_request(odd.parsed, ROOT.parsed)


def test_a_blank_in_an_address_is_encoded():
    """RFC 3986 section 2.1: authorities copy addresses by hand, and every other reader asks for `%20`."""
    certificate = leaf(points([UriName(" http://a.example/ca list.crl ")]))
    assert crl_urls(certificate) == ("http://a.example/ca%20list.crl",)
    assert may_serve(certificate, "http://a.example/ca%20list.crl", list_of(ROOT))


def test_an_address_that_is_given_by_hand():
    """An http or https URL of printable ASCII is taken as it is; anything else is refused."""
    assert parse_source("http://a.example/ca%20list.crl") == "http://a.example/ca%20list.crl"
    for text in (
        "",
        "a.example",
        "ldap://a.example/",
        "http://a.example/ca list.crl",
        "http://b\xfccher.example/",
    ):
        with refused(MalformedInput, "source-malformed"):
            parse_source(text)
