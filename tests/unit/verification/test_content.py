"""What rules may ask about a certificate: read from real ones, and undetermined instead of guessed."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from doorward.core.certificate import NAMES_LIMIT, CertificateContent
from doorward.core.entities import Outcome
from doorward.verification.content import read_content
from doorward.verification.parsing import parse_certificate, parse_partner_leaf
from doorward.verification.partner import RevocationMode
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import ANY_POLICY, CertifiedKey, certify, toy_ca
from tests.support.certificates.judging import judge_partner, partner

ROOT = certify("Root")
OID, OTHER = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"
DNS, MAILBOX, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def content_of(*names: x509.GeneralName, **words: object) -> CertificateContent:
    """What is read of a partner's leaf with these names; our own reading says the same."""
    leaf = certify("leaf", ROOT, ca=False, names=names, **words)  # type: ignore[arg-type]  # test's own words
    content = parse_partner_leaf(leaf.der).content
    assert parse_certificate(leaf.der).content == content
    return content


def test_names_are_spelled_in_one_way() -> None:
    """Each kind for itself, each name once, and nothing of other kinds."""
    content = content_of(
        DNS("A.Corp.Example"),
        DNS("a.corp.example"),
        MAILBOX("Ann@Corp.Example"),
        URI("SPIFFE://Corp.Example/Web"),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
    )
    assert content.dns == ("a.corp.example",)
    assert content.mailboxes == ("Ann@corp.example",)
    assert content.uris == ("spiffe://corp.example/Web",)
    assert content.policies == frozenset()


def test_without_names_there_are_none() -> None:
    """That is known, and not undetermined."""
    content = content_of()
    assert (content.dns, content.mailboxes, content.uris) == ((), (), ())


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (DNS("*.corp.example"), "dns"),
        (DNS("a.corp.example."), "dns"),
        (MAILBOX('"ann"@corp.example'), "mailboxes"),
        (URI("spiffe://corp.example/a/../b"), "uris"),
        (
            x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), tlv(0x0C, "ü@b.example".encode())),
            "mailboxes",
        ),
    ],
)
def test_one_odd_name_leaves_its_kind_undetermined(name: x509.GeneralName, field: str) -> None:
    """A deny rule must not pass over a name that it cannot compare; the other kinds are as they are."""
    plain = [DNS("a.corp.example"), MAILBOX("ann@corp.example"), URI("urn:a:b")]
    content = content_of(*plain, name)
    found = {one: getattr(content, one) for one in ("dns", "mailboxes", "uris")}
    assert found.pop(field) is None
    assert all(found.values())


@pytest.mark.parametrize(("tag", "field"), [(0x81, "mailboxes"), (0x82, "dns"), (0x86, "uris")])
def test_a_name_that_cannot_be_decoded_does_so_too(tag: int, field: str) -> None:
    """The library reads none of these bytes; the tag says of which kind they are."""
    value = tlv(
        0x30, tlv(0x82, b"a.example"), tlv(0x81, b"a@b.example"), tlv(0x86, b"urn:a:b"), tlv(tag, b"\xff")
    )
    content = content_of(raw=[(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value, False)])
    found = {one: getattr(content, one) for one in ("dns", "mailboxes", "uris")}
    assert found.pop(field) is None
    assert all(found.values())


def test_too_many_names_are_not_looked_at() -> None:
    """The cost of a certificate for each judgement is limited."""
    every = [DNS(f"a{at}.corp.example") for at in range(NAMES_LIMIT + 1)]
    assert content_of(*every).dns is None
    assert len(content_of(*every[1:]).dns or ()) == NAMES_LIMIT


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ec-p256"),
        (ec.generate_private_key(ec.SECP384R1()), "ec-p384"),
        (ec.generate_private_key(ec.SECP521R1()), "ec-p521"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (ed448.Ed448PrivateKey.generate(), "ed448"),
        (rsa.generate_private_key(65537, 2048), "rsa-2048"),
        (mldsa.MLDSA44PrivateKey.generate(), "ml-dsa-44"),
        (mldsa.MLDSA65PrivateKey.generate(), "ml-dsa-65"),
        (mldsa.MLDSA87PrivateKey.generate(), "ml-dsa-87"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), None),
        (None, None),
    ],
)
def test_kinds_of_keys(key: object, word: str | None) -> None:
    """Kind and size; another kind is not determined."""
    public = None if key is None else key.public_key()  # type: ignore[attr-defined]  # of any kind
    assert read_content((), None, public).key == word


def judged(leaf: CertifiedKey, *others: CertifiedKey) -> frozenset[str] | None:
    """The policies of a leaf of a partner, after its path was found good."""
    found = judge_partner(leaf, partner("clinic", ROOT, others=others, revocation=RevocationMode.OFF))
    assert found.verdict.outcome is Outcome.GOOD
    assert found.content is not None
    return found.content.policies


def leaf_below(issuer: CertifiedKey, *valid: str) -> CertifiedKey:
    """A leaf with these policies."""
    return certify("bob", issuer, ca=False, names=[MAILBOX("bob@clinic.example")], policy={"valid": valid})


def test_policies_of_a_partner_are_those_of_the_path() -> None:
    """An authority without a policy can pass none on, with any content of the leaf (RFC 5280 section 6.1)."""
    strict = certify("Strict", ROOT, policy={"valid": [OTHER]})
    assert parse_partner_leaf(leaf_below(strict, OID).der).content.policies == {OID}
    assert judged(leaf_below(strict, OID), strict) == frozenset()
    assert judged(leaf_below(strict, OTHER), strict) == {OTHER}


def test_mapped_policies_are_in_the_terms_of_the_anchor() -> None:
    """The leaf says OTHER, and its issuer's issuer takes that for OID."""
    mapping = certify("Mapping", ROOT, policy={"valid": [OID], "mappings": [(OID, OTHER)]})
    below = certify("Below", mapping, policy={"valid": [OTHER]})
    assert judged(leaf_below(below, OTHER), mapping, below) == {OID}


def test_any_policy_is_undetermined() -> None:
    """It stands for each policy, so neither a grant nor a clearance rests on it."""
    wide = certify("Wide", ROOT, policy={"valid": [ANY_POLICY]})
    assert judged(leaf_below(wide, ANY_POLICY), wide) is None
    assert judged(leaf_below(wide, OID), wide) == {OID}


def test_nothing_is_told_of_a_certificate_that_is_not_good() -> None:
    """Before its path is verified, its content may be written by anyone."""
    stranger = certify("Root")
    found = judge_partner(leaf_below(stranger, OID), partner("clinic", ROOT, revocation=RevocationMode.OFF))
    assert found.verdict.outcome is Outcome.BAD
    assert found.content is None


def test_our_own_reading() -> None:
    """A certificate as we make them has a URI, perhaps a mailbox, and no policies."""
    content = parse_certificate(toy_ca("Own").leaf("alice", emails=("a@corp.example",)).der).content
    assert content.uris == ("spiffe://corp.example/person/alice",)
    assert (content.mailboxes, content.dns, content.policies) == (("a@corp.example",), (), frozenset())
