"""Names: total parsers, exact round trips."""

from __future__ import annotations

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from doorward.core import certificate_names, names
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput

NEARLY = st.text(st.sampled_from("aAz09._-/:%?#@ \n\u212aé"), max_size=70)
ANYTHING = st.one_of(st.text(max_size=300), NEARLY)
NAME = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
DOMAIN = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


@given(ANYTHING)
def test_every_parser_is_total_and_idempotent(text):
    """Any text gives a value or MalformedInput, and a value parses to itself."""
    for parse in (names.parse_principal_name, names.parse_dns_name, names.parse_trust_domain):
        try:
            value = parse(text)
        except MalformedInput:
            continue
        assert parse(value) == value
        assert value.isascii()
        assert value == value.lower()


@given(st.one_of(ANYTHING, NEARLY.map(lambda tail: "spiffe://corp.example/person/" + tail)))
def test_a_principal_uri_has_one_spelling(text):
    """What parses renders to the very text: two texts are never one principal."""
    try:
        uri = names.parse_principal_uri(text)
    except MalformedInput:
        return
    assert str(uri) == text


@given(DOMAIN, st.sampled_from(PrincipalKind), NAME)
def test_every_principal_has_a_uri(domain, kind, name):
    """Rendering and parsing are inverse."""
    uri = names.parse_principal_uri(names.render_principal_uri(domain, kind, name))
    assert (uri.trust_domain, uri.kind, uri.name) == (domain, kind, name)


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_subject_fits_or_is_refused(common_name, organization):
    """What is accepted can be encoded, read back and parsed from its text."""
    try:
        subject = certificate_names.build_subject(common_name, organization)
    except MalformedInput:
        return
    assert subject.public_bytes()
    text = certificate_names.render_distinguished_name(subject)
    assert text.isprintable()
    assert x509.Name.from_rfc4514_string(text) == subject


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_a_general_name_stays_on_its_line(text):
    """The text of any name in a certificate is printable ASCII without spaces."""
    for make in (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name):
        try:
            general = make(text)
        except ValueError:
            continue
        rendered = certificate_names.render_general_name(general)
        assert rendered.isascii()
        assert rendered.isprintable()
        assert " " not in rendered
