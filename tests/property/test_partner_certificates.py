"""A partner's certificates: no altered one is let in, and every identity has one reading."""

from __future__ import annotations

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.entities import Outcome, PrincipalKind
from doorward.core.names import parse_partner_principal_name, render_partner_principal_name
from doorward.core.ports import KeyKind
from doorward.verification.identity import IdentityRule, SanSource, identify
from tests.support.certificates.issuing import cached_key, certify
from tests.support.certificates.judging import judge_partner, partner
from tests.support.certificates.status import list_of
from tests.support.examples import examples

ROOT = certify("Root")
ALICE = certify("alice", ROOT, ca=False, names=[x509.RFC822Name("alice@clinic.example")])
CLINIC = partner("clinic", ROOT)
LISTS = [list_of(ROOT)]
ASCII = st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=127), max_size=24)
GENERAL = st.builds(
    lambda kind, text: kind._init_without_validation(text),
    st.sampled_from([x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier]),
    ASCII
    | st.sampled_from(
        ["a@clinic.example", "A.clinic.example", "*.clinic.example", "spiffe://clinic.example/a", "urn:a"]
    ),
)


@settings(max_examples=examples(300))
@given(st.integers(0, len(ALICE.der) - 1), st.integers(1, 255))
def test_no_altered_certificate_is_let_in(position, difference):
    """One octet anywhere: what was signed, the algorithm, the signature, the frame."""
    der = bytearray(ALICE.der)
    der[position] ^= difference
    assert judge_partner(ALICE, CLINIC, crls=LISTS).verdict.outcome is Outcome.GOOD
    assert judge_partner(bytes(der), CLINIC, crls=LISTS).verdict.outcome is Outcome.BAD


@settings(max_examples=examples(200))
@given(st.lists(GENERAL, max_size=3), st.sampled_from(SanSource), st.booleans())
def test_an_identity_has_one_reading(names, source, bound):
    """For any certificate, the principal's name can be split into partner and identity again."""
    leaf = certify("alice", ROOT, ca=False, key=cached_key(KeyKind.P256, 8), names=names)
    domain = "clinic.example" if bound and source is not SanSource.SUBJECT else ""
    identity = identify(leaf.parsed, IdentityRule(source=source, kind=PrincipalKind.PERSON, domain=domain))
    if identity is not None:
        name = render_partner_principal_name("clinic", identity)
        assert parse_partner_principal_name(name) == ("clinic", identity)
        assert not domain or "clinic.example" in identity.lower()
