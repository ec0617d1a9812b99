"""Names and extensions that no decision needs, and that the library cannot parse."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from doorward.core.certificate_names import render_general_name
from doorward.core.entities import Outcome, PrincipalKind, Reason
from doorward.core.errors import MalformedInput
from doorward.core.opaque_names import OPAQUE_SHOWN, OpaqueName
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.parsing import parse_certificate
from doorward.verification.partner import RevocationMode
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.name_parsing import parse_name
from doorward.verification.path.rewriting import remove_null_parameters, rewrite_certificate
from doorward.verification.path.signatures import Strength, is_signature_valid
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import parse_crl
from doorward.verification.revocation.der import MalformedDer
from doorward.verification.revocation.signed import parse_canonical_name
from tests.support.certificates.der import ECDSA_WITH_NULL, children, extension, oid_der, rdn, tlv
from tests.support.certificates.issuing import certify, odd_certificate
from tests.support.certificates.judging import judge_partner, partner
from tests.support.certificates.status import crl_of

OFF = RevocationMode.OFF
ROOT = certify("Root")
CLINIC = partner("clinic", ROOT, revocation=OFF)
BY_SUBJECT = partner(
    "clinic",
    ROOT,
    revocation=OFF,
    identity=IdentityRule(source=SanSource.SUBJECT, kind=PrincipalKind.PERSON),
)
MAIL = x509.RFC822Name("alice@clinic.example")
ALICE = certify("alice", ROOT, ca=False, names=[MAIL])
CN, ORG = "2.5.4.3", "2.5.4.10"
EMAIL = tlv(0x81, b"alice@clinic.example")
SAN = "2.5.29.17"
LATIN = "Müller".encode("latin-1")

SUBJECTS = [
    pytest.param(rdn(CN, 0x14, LATIN), "CN=Müller", id="teletex-latin-1"),
    pytest.param(rdn(CN, 0x14, "Müller".encode()), "CN=Müller", id="teletex-utf-8"),
    pytest.param(rdn(CN, 0x13, b"A&B_C*@"), "CN=A&B_C*@", id="printable-with-more"),
    pytest.param(rdn(CN, 0x13, LATIN), f"2.5.4.3=#1306{LATIN.hex()}", id="printable-latin-1"),
    pytest.param(rdn(CN, 0x1E, "Müller".encode("utf-16-be")), "CN=Müller", id="bmp"),
    pytest.param(rdn(CN, 0x1E, b"abc"), "2.5.4.3=#1e03616263", id="bmp-odd-octets"),
    pytest.param(rdn(CN, 0x1E, b"\xd8\x00"), "2.5.4.3=#1e02d800", id="bmp-lone-surrogate"),
    pytest.param(rdn(CN, 0x1C, "Müller".encode("utf-32-be")), "CN=Müller", id="universal"),
    pytest.param(rdn(CN, 0x1C, b"\x00\x11\x00\x00"), "2.5.4.3=#1c0400110000", id="universal-beyond"),
    pytest.param(rdn(CN, 0x0C, b"\xff"), "2.5.4.3=#0c01ff", id="utf-8-malformed"),
    pytest.param(rdn("2.5.4.16", 0x30, tlv(0x0C, b"Elm")), "2.5.4.16=#30050c03456c6d", id="postal-address"),
    pytest.param(rdn("1.2.3.4", 0x02, b"\x01"), "1.2.3.4=#020101", id="integer"),
    pytest.param(
        rdn("1.2.840.113549.1.9.1", 0x16, b"m\xfc@x"), "1.2.840.113549.1.9.1=#16046dfc4078", id="ia5"
    ),
    pytest.param(rdn("2.5.4.45", 0x03, b"\x00ab"), "2.5.4.45=#006162", id="bit-string"),
]

POLICY = "2.5.29.32"
NOTICE = "1.3.6.1.5.5.7.2.2"


def policy(qualifier: str, value: bytes) -> bytes:
    """CertificatePolicies with one qualifier."""
    inner = tlv(0x30, tlv(0x30, oid_der(qualifier), value))
    return extension(POLICY, tlv(0x30, tlv(0x30, oid_der("1.2.3.4"), inner)))


def alternative(*names: bytes) -> bytes:
    """SubjectAltName."""
    return extension(SAN, tlv(0x30, *names))


TELETEX_NAME = tlv(0xA4, tlv(0x30, rdn(CN, 0x14, b"\xfc")))
STREET_NAME = tlv(0xA4, tlv(0x30, rdn("2.5.4.16", 0x30, tlv(0x0C, b"Elm"))))

EXTENSIONS = [
    pytest.param(policy("1.2.3.5", tlv(0x0C, b"x")), id="policy-qualifier-unknown"),
    pytest.param(policy(NOTICE, tlv(0x30, tlv(0x14, b"\xfc"))), id="policy-notice-teletex"),
    pytest.param(policy("1.3.6.1.5.5.7.2.1", tlv(0x0C, b"http://x")), id="policy-cps-utf-8"),
    pytest.param(extension("1.3.36.8.3.3", tlv(0x30, b"\x02\x01\x01")), id="admission"),
    pytest.param(alternative(tlv(0xA5, tlv(0xA1, tlv(0x0C, b"x"))), EMAIL), id="edi-party-name"),
    pytest.param(alternative(tlv(0xA3), EMAIL), id="x400-address"),
    pytest.param(alternative(TELETEX_NAME, EMAIL), id="directory-name-teletex"),
    pytest.param(alternative(STREET_NAME, EMAIL), id="directory-name-postal-address"),
    pytest.param(alternative(tlv(0xA4, b"\x02\x01\x01"), EMAIL), id="directory-name-none"),
    pytest.param(alternative(tlv(0xA0, tlv(0x0C, b"x")), EMAIL), id="other-name-none"),
    pytest.param(alternative(tlv(0xA0, oid_der(CN), tlv(0x0C, b"x")), EMAIL), id="other-name-not-explicit"),
    pytest.param(
        alternative(tlv(0xA0, oid_der(CN), tlv(0xA0, tlv(0x0C, b"\xfc"))), tlv(0xA3), EMAIL), id="other-name"
    ),
    pytest.param(alternative(tlv(0x82, b"\xfc.example"), EMAIL), id="dns-beyond-ascii"),
    pytest.param(alternative(tlv(0x88, b"\x55\x04\x03"), tlv(0xA3), EMAIL), id="registered-id"),
    pytest.param(extension("1.3.6.1.5.5.7.1.1", b"\x30\x00\x00"), id="access-malformed"),
    pytest.param(
        extension(
            "1.3.6.1.5.5.7.1.1",
            tlv(
                0x30,
                tlv(0x30, oid_der("1.3.6.1.5.5.7.48.1"), tlv(0x86, b"http://\xfc/")),
                tlv(0x30, oid_der("1.3.6.1.5.5.7.48.1"), tlv(0x86, b"http://a.example/")),
            ),
        ),
        id="access-beyond-ascii",
    ),
    pytest.param(
        extension(
            "2.5.29.35",
            tlv(
                0x30, tlv(0x80, ROOT.parsed.subject_key_id or b""), tlv(0xA1, STREET_NAME), tlv(0x82, b"\x07")
            ),
        ),
        id="authority-key-issuer",
    ),
    pytest.param(extension("1.3.6.1.4.1.11129.2.4.2", b"\x04\x02xx"), id="signed-timestamps"),
    pytest.param(extension("1.3.6.1.5.5.7.1.24", b"\x04\x02xx"), id="tls-feature"),
    pytest.param(extension("1.3.6.1.4.1.311.21.7", b"\x04\x02xx"), id="template"),
    pytest.param(extension("2.5.29.46", b"\x04\x02xx"), id="freshest-crl"),
    pytest.param(extension("2.5.29.18", b"\x04\x02xx"), id="issuer-alternative-name"),
    pytest.param(extension("1.3.6.1.5.5.7.1.11", b"\x04\x02xx"), id="subject-information-access"),
    pytest.param(extension("2.5.29.16", b"\x04\x02xx"), id="private-key-usage-period"),
    pytest.param(extension("2.5.29.9", b"\x04\x02xx"), id="subject-directory-attributes"),
    pytest.param(extension("1.3.6.1.5.5.7.1.3", b"\x04\x02xx"), id="qualified-statements"),
    pytest.param(extension("2.5.29.15", b"\x03\x02\x07\x80", critical=False), id="flag-written-as-default"),
    pytest.param(
        extension("2.5.29.31", tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://\xfc/")))))),
        id="point-beyond-ascii",
    ),
    pytest.param(
        extension(
            "2.5.29.31",
            tlv(
                0x30,
                tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://\xfc/"), tlv(0x86, b"http://a/")))),
                tlv(0x30, tlv(0x81, b"\x01\x06"), tlv(0xA2, TELETEX_NAME)),
                tlv(0x30, tlv(0xA0, tlv(0xA1, tlv(0x30, oid_der(CN), tlv(0x0C, b"x"))))),
            ),
        ),
        id="point-names-teletex",
    ),
]


def good(der: bytes) -> bool:
    """Whether Alice is let in."""
    return judge_partner(der, CLINIC).verdict.outcome is Outcome.GOOD


@pytest.mark.parametrize(("relative", "text"), SUBJECTS)
def test_any_subject_is_read_shown_and_compared(relative: bytes, text: str) -> None:
    """RFC 5280 4.1.2.4, RFC 4514 2.4: the good name counts; a value that cannot be decoded is shown as bytes."""
    der = odd_certificate(ALICE, ROOT.key, subject=[rdn(ORG, 0x0C, b"Clinic"), relative])
    assert good(der)
    read = parse_path_certificate(der)
    assert read.subject_text == f"{text},O=Clinic"
    assert (read.der, read.subject_der) == (der, tlv(0x30, rdn(ORG, 0x0C, b"Clinic"), relative))
    assert read.subject == parse_canonical_name(read.subject_der) == parse_path_certificate(der).subject
    found = judge_partner(der, BY_SUBJECT)
    assert found.facts is not None
    assert found.facts.subject == f"{text},O=Clinic"
    assert found.identity == f"{text.replace('ü', '%C3%BC')}%2CO=Clinic"


@pytest.mark.parametrize("added", EXTENSIONS)
def test_an_extension_that_no_decision_needs(added: bytes) -> None:
    """RFC 5280 4.2: a system that does not process an uncritical extension ignores it."""
    der = odd_certificate(ALICE, ROOT.key, extensions=[added])
    assert good(der)
    assert parse_certificate(der).facts == judge_partner(der, CLINIC).facts


def test_a_critical_one_is_refused_and_not_malformed() -> None:
    """RFC 5280 4.2: an unknown critical extension refuses the certificate, with any value."""
    found = judge_partner(
        odd_certificate(
            ALICE, ROOT.key, extensions=[extension("1.3.36.8.3.3", b"\x30\x03\x02\x01\x01", critical=True)]
        ),
        CLINIC,
    )
    assert Reason.PATH_INVALID in found.verdict.reasons
    assert "critical-extension-unknown" in dict(found.verdict.evidence)["path-fault"]


def test_an_address_that_cannot_be_read_is_an_address() -> None:
    """RFC 5280 4.2.1.6: of two e-mail addresses neither is the name, even if one is opaque."""
    unread = tlv(0x81, b"b\xf6b@clinic.example")
    der = odd_certificate(ALICE, ROOT.key, extensions=[alternative(unread, EMAIL)])
    found = judge_partner(der, CLINIC)
    assert Reason.NAME_MISMATCH in found.verdict.reasons
    assert found.facts is not None
    assert found.facts.san[-1] == f"opaque:{unread.hex()}"


@pytest.mark.parametrize("name", [tlv(0x81, b"\xfc@x"), tlv(0x82, b"\xfc"), tlv(0x86, b"\xfc"), STREET_NAME])
def test_a_name_that_cannot_be_read_escapes_no_constraint(name: bytes) -> None:
    """RFC 5280 4.2.1.10: it is refused if its form is constrained."""
    outside: list[x509.GeneralName] = [
        x509.RFC822Name("other.example"),
        x509.DNSName("other.example"),
        x509.UniformResourceIdentifier("other.example"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.STREET_ADDRESS, "x")])),
    ]
    root = certify("Narrow", excluded=outside)
    leaf = certify("alice", root, ca=False, names=[MAIL])
    narrow = partner("clinic", root, revocation=OFF)
    assert judge_partner(leaf, narrow).verdict.outcome is Outcome.GOOD
    found = judge_partner(odd_certificate(leaf, root.key, extensions=[alternative(name, EMAIL)]), narrow)
    assert Reason.PATH_INVALID in found.verdict.reasons


@pytest.mark.parametrize(
    ("subject", "outcome"),
    [
        ([rdn(ORG, 0x0C, b"Clinic"), rdn("2.5.4.16", 0x30, b"")], Outcome.GOOD),
        ([rdn(ORG, 0x13, LATIN)], Outcome.BAD),  # could be the one that is excluded
        ([tlv(0x31, *children(rdn(ORG, 0x13, LATIN)), *children(rdn(CN, 0x0C, b"x")))], Outcome.GOOD),
        ([rdn("2.5.4.16", 0x30, b"")], Outcome.GOOD),
    ],
)
def test_an_opaque_value_may_be_the_excluded_one(subject: list[bytes], outcome: Outcome) -> None:
    """RFC 5280 4.2.1.10: an opaque value may equal an excluded value, and only then it is refused."""
    secret = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Secret")]))
    root = certify("Narrow", excluded=[secret])
    der = odd_certificate(certify("alice", root, ca=False, names=[MAIL]), root.key, subject=subject)
    assert judge_partner(der, partner("clinic", root, revocation=OFF)).verdict.outcome is outcome


def test_names_of_authorities_are_one_whatever_their_type() -> None:
    """RFC 5280 7.1: an authority with a TeletexString in Latin-1 issues under the same name in UTF-8."""
    node = certify("Root")
    root = parse_path_certificate(
        odd_certificate(node, node.key, subject=[rdn(CN, 0x14, LATIN)], issuer=[rdn(CN, 0x14, LATIN)])
    )
    trust = partner("clinic", ROOT, revocation=OFF)
    object.__setattr__(trust, "store", TrustStore([root]))
    leaf = certify("alice", node, ca=False, names=[MAIL])
    for tag, text in ((0x0C, "Müller".encode()), (0x14, LATIN), (0x1E, "MÜLLER".encode("utf-16-be"))):
        der = odd_certificate(leaf, node.key, issuer=[rdn(CN, tag, text)])
        assert judge_partner(der, trust).verdict.outcome is Outcome.GOOD
    other = odd_certificate(leaf, node.key, issuer=[rdn(CN, 0x13, LATIN)])
    assert Reason.ISSUER_UNKNOWN in judge_partner(other, trust).verdict.reasons


def test_an_opaque_name_equals_no_text_that_looks_like_it() -> None:
    """RFC 4514 2.4: `#` and digits are bytes; a text of the same letters is shown with the `#` escaped."""
    opaque, text = tlv(0x30, rdn(CN, 0x13, b"\xfc")), tlv(0x30, rdn(CN, 0x0C, b"#1301fc"))
    assert parse_canonical_name(opaque) != parse_canonical_name(text)
    assert parse_canonical_name(opaque) == parse_canonical_name(opaque)
    bits = tlv(0x30, rdn("2.5.4.45", 0x03, b"\x02\x01\x01"))
    assert parse_canonical_name(bits) != parse_canonical_name(tlv(0x30, rdn("2.5.4.45", 0x02, b"\x01")))
    assert (
        parse_path_certificate(odd_certificate(ALICE, ROOT.key, subject=children(text))).subject_text
        == r"CN=\#1301fc"
    )


class TestAlgorithms:
    """Java writes NULL parameters for ECDSA; RFC 5758 section 3.2 says to omit them."""

    def test_a_leaf(self) -> None:
        """It was signed with them, and the signature holds over what was signed."""
        assert good(odd_certificate(ALICE, ROOT.key, algorithm=ECDSA_WITH_NULL))

    def test_an_anchor(self) -> None:
        """A partner's authority as keytool makes it."""
        root = parse_path_certificate(odd_certificate(ROOT, ROOT.key, algorithm=ECDSA_WITH_NULL))
        assert root.algorithms_agree
        assert root.sha256 != ROOT.parsed.sha256

    def test_fields_that_differ_are_told(self) -> None:
        """RFC 5280 4.1.1.2: NULL inside and none outside are not the same algorithm field."""
        der = odd_certificate(ALICE, ROOT.key, algorithm=ECDSA_WITH_NULL, outer=children(ALICE.der)[1])
        assert not parse_path_certificate(der).algorithms_agree
        assert not good(der)

    def test_a_signature_over_the_copy_does_not_hold(self) -> None:
        """Signatures are never checked over the rewritten copy."""
        der = odd_certificate(ALICE, certify("Eve").key, subject=[rdn(CN, 0x14, LATIN)])
        assert not good(der)

    def test_other_parameters_stay(self) -> None:
        """Only a NULL of ECDSA and DSA is left out."""
        rsa = tlv(0x30, oid_der("1.2.840.113549.1.1.11"), b"\x05\x00")
        assert remove_null_parameters(rsa) == rsa
        strange = tlv(0x30, oid_der("1.2.840.10045.4.3.2"), b"\x02\x01\x01")
        assert remove_null_parameters(strange) == strange
        assert remove_null_parameters(tlv(0x30)) == tlv(0x30)


def test_names_of_ours_in_bytes_are_found() -> None:
    """Another reader could decode an opaque name as one of our namespace."""
    ours = "spiffe://corp.example/person/root"
    for subject, names in (
        ([rdn(CN, 0x13, b"\xfc " + ours.encode())], []),
        (None, [alternative(tlv(0xA3, tlv(0x0C, ours.encode())), EMAIL)]),
        ([rdn(CN, 0x1E, ours.encode("utf-16-be") + b"\x00")], []),
    ):
        found = judge_partner(odd_certificate(ALICE, ROOT.key, subject=subject, extensions=names), CLINIC)
        assert Reason.OWN_NAME_CLAIMED in found.verdict.reasons


@pytest.mark.parametrize(
    "added",
    [
        extension("2.5.29.19", b"\x04\x02xx"),
        extension("2.5.29.37", b"\x04\x02xx"),
        extension(SAN, b"\x04\x02xx"),
        alternative(tlv(0x87, b"abc"), tlv(0xA3)),
        extension(POLICY, tlv(0x30, tlv(0x30, tlv(0x0C, b"x")))),
        extension("2.5.29.35", b"\x04\x02xx"),
        extension("2.5.29.35", tlv(0x30, tlv(0xA1, STREET_NAME))),
        extension("2.5.29.31", tlv(0x30, tlv(0x30, tlv(0xA2, STREET_NAME)))),
        extension("2.5.29.30", tlv(0x30, tlv(0xA0, tlv(0x30, STREET_NAME)))),
        extension("2.5.29.30", tlv(0x30, tlv(0xA0, tlv(0x30, tlv(0xA3))))),
    ],
)
def test_what_a_decision_needs_is_not_opaque(added: bytes) -> None:
    """A part that a decision needs and that does not parse makes the certificate malformed."""
    with pytest.raises(MalformedInput) as refused:
        parse_path_certificate(odd_certificate(ALICE, ROOT.key, extensions=[added]))
    assert refused.value.code == "certificate-malformed"


def test_subtrees_may_be_written_in_any_type() -> None:
    """RFC 5280 7.1: a subtree in a TeletexString of Latin-1 holds the same name in UTF-8."""
    tree = extension(
        "2.5.29.30",
        tlv(
            0x30,
            tlv(
                0xA0,
                tlv(0x30, tlv(0xA4, tlv(0x30, rdn(ORG, 0x14, LATIN)))),
                tlv(0x30, tlv(0x82, b"a.example")),
            ),
        ),
        critical=True,
    )
    read = parse_path_certificate(odd_certificate(ROOT, ROOT.key, extensions=[tree]))
    assert read.subtrees is not None
    assert read.subtrees.permitted["directory"] == (
        parse_canonical_name(tlv(0x30, rdn(ORG, 0x0C, "Müller".encode()))),
    )


@pytest.mark.parametrize(
    "der",
    [
        b"",
        tlv(0x30),
        tlv(0x30, tlv(0x30), tlv(0x30), tlv(0x03, b"\x00")),
        tlv(0x30, tlv(0x30, tlv(0xA0, b"\x02\x01\x02")), tlv(0x30), tlv(0x03, b"\x00")),
        odd_certificate(ALICE, ROOT.key, extensions=[extension("1.2.3", b""), extension("1.2.3", b"")]),
        odd_certificate(ALICE, ROOT.key, subject=[tlv(0x31, tlv(0x30, oid_der(CN)))]),
    ],
)
def test_what_is_no_certificate_is_unreadable(der: bytes) -> None:
    """Any bytes give a copy or `MalformedDer`."""
    with pytest.raises(MalformedDer):
        rewrite_certificate(der)


def test_a_certificate_without_version_and_extensions_has_a_copy() -> None:
    """Version 1 of an authority, with a name that the library does not read."""
    signed, algorithm, signature = children(odd_certificate(ROOT, ROOT.key, subject=[rdn(CN, 0x14, LATIN)]))
    der = tlv(0x30, tlv(0x30, *children(signed)[1:7]), algorithm, signature)
    read = parse_path_certificate(der)
    assert (read.version, read.subject_text, read.present) == (x509.Version.v1, "CN=Müller", frozenset())


def test_unique_identifiers_stay() -> None:
    """RFC 5280 4.1.2.8: applications should be able to parse them, although they must not be used."""
    signed, algorithm, signature = children(odd_certificate(ROOT, ROOT.key, subject=[rdn(CN, 0x14, LATIN)]))
    fields = children(signed)
    der = tlv(0x30, tlv(0x30, *fields[:7], tlv(0x81, b"\x00x"), *fields[7:]), algorithm, signature)
    assert parse_path_certificate(der).present == ROOT.parsed.present


@pytest.mark.parametrize("at", [7, 8])
def test_a_second_list_of_extensions_is_no_certificate(at: int) -> None:
    """RFC 5280 section 4.1: there is one list. A critical extension or a name of ours in a second one would be missed."""
    hidden = [
        extension(SAN, tlv(0x30, tlv(0x86, b"spiffe://corp.example/person/root"))),
        extension("1.2.3.4", b"\x05\x00", critical=True),
    ]
    signed, algorithm, _ = children(ALICE.der)
    fields = children(signed)
    content = tlv(0x30, *fields[:at], tlv(0xA3, tlv(0x30, *hidden)), *fields[at:])
    signature = tlv(0x03, b"\0", ROOT.key.sign(content, ec.ECDSA(hashes.SHA256())))
    found = judge_partner(tlv(0x30, content, algorithm, signature), CLINIC)
    assert found.verdict.reasons == (Reason.CERTIFICATE_MALFORMED,)


def test_a_name_reads_the_same_either_way() -> None:
    """A name that the library can parse too gives the same text: order, sets and escapes."""
    attributes: list[Any] = [
        x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]),
        x509.RelativeDistinguishedName(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, 'a,"b"+c<#'),
                x509.NameAttribute(NameOID.USER_ID, "#1"),
            ]
        ),
    ]
    name = x509.Name(attributes)
    written = parse_name(name.public_bytes())
    assert written.render(name) == name.rfc4514_string()
    assert written.canonicalise() == parse_path_certificate(certify(name, ROOT, ca=False).der).subject


def test_opaque_names_are_values() -> None:
    """They can be compared, kept in sets, and shown; a long one is cut."""
    one, long = OpaqueName(b"\xa3\x00"), OpaqueName(bytes(OPAQUE_SHOWN + 1))
    assert one == OpaqueName(b"\xa3\x00")
    assert one != long
    assert one != "x"
    assert len({one, OpaqueName(b"\xa3\x00")}) == 1
    assert repr(one) == "<OpaqueName(a300)>"
    assert render_general_name(one) == "opaque:a300"
    assert render_general_name(long).endswith("00...")


def test_lists_of_such_authorities_are_read() -> None:
    """RFC 5280 5.1.2.3: the issuer of a CRL is a name of the same kinds, and Java signs lists with the same NULL."""
    signed, _, _ = children(crl_of(ROOT))
    fields = children(signed)
    name = tlv(0x30, rdn(CN, 0x14, LATIN), rdn("2.5.4.16", 0x30, tlv(0x0C, b"Elm")))
    content = tlv(0x30, fields[0], ECDSA_WITH_NULL, name, *fields[3:])
    signature = ROOT.key.sign(content, ec.ECDSA(hashes.SHA256()))
    crl = parse_crl(tlv(0x30, content, ECDSA_WITH_NULL, tlv(0x03, b"\0", signature)))
    assert crl.issuer == parse_canonical_name(name)
    assert is_signature_valid(ROOT.parsed.key, crl.signed, Strength())
    assert not is_signature_valid(ALICE.parsed.key, crl.signed, Strength())
