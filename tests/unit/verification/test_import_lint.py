"""The findings about a partner's authorities before they are trusted."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ObjectIdentifier

from doorward.core.errors import MalformedInput
from doorward.verification.import_lint import IMPORT_LIMIT, LintCode, Severity, lint_authorities
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.subtree_text import parse_subtree
from tests.support.certificates.der import oid_der, tlv
from tests.support.certificates.issuing import (
    certify,
    crl_at,
    name,
    rebuild,
    responder_at,
    rsa_key,
    version_1,
    with_serial,
)
from tests.support.ports import NOON

DAY = timedelta(days=1)
CA_ISSUERS = AuthorityInformationAccessOID.CA_ISSUERS
URI = x509.UniformResourceIdentifier
EVERY_FORM = (
    x509.RFC822Name("clinic.example"),
    x509.DNSName("clinic.example"),
    URI("clinic.example"),
    x509.DirectoryName(x509.Name.from_rfc4514_string("O=Clinic")),
)
CLINIC = x509.Name.from_rfc4514_string("CN=Root,O=Clinic")
ISSUING_NAME = x509.Name.from_rfc4514_string("CN=Issuing,O=Clinic")
PERFECT = {"path_length": 1, "permitted": EVERY_FORM, "not_after": NOON + 1000 * DAY}
ROOT = certify(CLINIC, **PERFECT)


LISTED = [crl_at("http://pki.clinic.example/root.crl")]


def issuing(root=ROOT, subject=ISSUING_NAME, **options):
    """An intermediate without findings, except for the options."""
    return certify(
        subject,
        root,
        **{"path_length": 0, "not_after": NOON + 1000 * DAY, "extra": LISTED, **options},
    )


ISSUING = issuing()
ROOT_KEY_ID = ROOT.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def lint(*anchors, others=(), own=(), partners=None, inputs=None, now=NOON):
    """The findings."""
    return lint_authorities(
        [one.parsed for one in anchors],
        [one.parsed for one in others],
        own=[one.parsed for one in own],
        others={name: [one.parsed for one in theirs] for name, theirs in (partners or {}).items()},
        inputs=inputs or PathInputs(),
        now=now,
    )


def words(findings, node=None):
    """The codes; if a certificate is given, only its own."""
    return [one.code.value for one in findings if node is None or one.certificate == node.parsed.sha256]


def root(**options):
    """A self-signed anchor without findings, except for the options."""
    return certify(CLINIC, **{**PERFECT, **options})


def test_of_good_authorities_there_is_nothing_to_say():
    """No finding, so that each finding means something."""
    assert lint(ROOT, others=[ISSUING]) == ()
    assert lint() == ()


def test_a_finding_names_the_certificate_and_the_remedy():
    """It says which certificate, what is wrong, and what to do."""
    late = root(not_after=NOON - DAY)
    (found,) = lint(late)
    assert (found.code, found.certificate) == (LintCode.EXPIRED, late.parsed.sha256)
    assert found.text == "RFC 5280 section 6.1.3 (a)(2): since 2026-11-22 12:00:00Z"
    assert (found.code.severity, found.code.mend) == (
        Severity.ERROR,
        "ask the partner for the certificate in force",
    )


def test_every_code_has_a_severity_and_a_remedy():
    """The catalogue is closed: none is without words, and none is both warning and note."""
    assert all(code.mend for code in LintCode)
    counts = [sum(code.severity is severity for code in LintCode) for severity in Severity]
    assert counts == [17, 13, 4]


def with_sha1(node, key):
    """The same certificate, signed with SHA-1 by an RSA key."""
    named = tlv(0x30, oid_der("1.2.840.113549.1.1.5"), b"\x05\x00")

    def sign(content):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA1())

    return rebuild(node, None, lambda f: [*f[:2], named, *f[3:]], outer=named, sign=sign)


SIGNING = ec.generate_private_key(ec.SECP256R1())
BASIC = x509.BasicConstraints(ca=True, path_length=1)


class TestErrors:
    """Findings that would refuse every certificate."""

    @pytest.mark.parametrize(
        ("node", "word"),
        [
            (root(extra=[(x509.BasicConstraints(ca=False, path_length=None), True)]), "not-a-ca"),
            (root(drop=[x509.BasicConstraints]), "not-a-ca"),
            (root(extra=[(BASIC, False)]), "criticality-wrong"),
            (root(key=ec.generate_private_key(ec.SECP256K1())), "key-weak"),
            (root(key=rsa_key(1024)), "key-weak"),
            (root(usage=("crl_sign",)), "cannot-sign-certificates"),
            (root(raw=[(ObjectIdentifier("1.2.3"), b"\x05\x00", True)]), "critical-extension-unknown"),
            (root(not_after=NOON - DAY), "expired"),
            (root(drop=[x509.SubjectKeyIdentifier]), "key-identifier-missing"),
            (root(purposes=[ExtendedKeyUsageOID.SERVER_AUTH]), "purpose-wrong"),
            (with_serial(root(key=SIGNING), SIGNING, b"\x01" * 21), "serial-too-long"),
            (version_1(root(key=SIGNING), SIGNING), "version-not-3"),
            (
                rebuild(root(key=SIGNING), SIGNING, list, outer=tlv(0x30, oid_der("1.2.840.10045.4.3.3"))),
                "algorithm-fields-differ",
            ),
            (certify("", **PERFECT), "subject-empty"),
            (certify("", **PERFECT), "issuer-empty"),
        ],
    )
    def test_what_the_judge_of_paths_would_refuse(self, node, word):
        """The same words as a refusal at the door."""
        found = lint(node)
        assert word in words(found)
        assert LintCode(word).severity is Severity.ERROR

    def test_an_intermediate_without_an_anchor(self):
        """Root is not imported: the text says what stands in the way."""
        (found,) = lint(root(), others=[issuing(certify("Elsewhere"))])
        assert (found.code.value, found.code.severity) == ("no-path-to-an-anchor", Severity.ERROR)
        assert found.text.startswith("issuer-unknown")

    def test_an_intermediate_by_another_key_of_the_name(self):
        """A name is not a signature."""
        other = issuing(root())
        assert words(lint(ROOT, others=[other])) == ["no-path-to-an-anchor"]

    def test_an_intermediate_signed_with_sha1(self):
        """Unlike an anchor's, its signature is relied on."""
        weak = root(key=rsa_key(3072))
        crafted = with_sha1(issuing(weak), weak.key)
        assert words(lint(weak, others=[crafted]), crafted) == ["no-path-to-an-anchor"]

    def test_an_intermediate_with_faults_of_its_own_has_those_only(self):
        """Its lack of a path follows from them."""
        late = issuing(not_after=NOON - DAY)
        assert words(lint(ROOT, others=[late])) == ["expired"]

    def test_an_intermediate_below_another_has_a_path(self):
        """Root -> A -> B."""
        above = root(path_length=2)
        a = issuing(above, x509.Name.from_rfc4514_string("CN=A,O=Clinic"), path_length=1)
        b = issuing(a, x509.Name.from_rfc4514_string("CN=B,O=Clinic"))
        assert lint(above, others=[b, a]) == ()

    def test_the_same_certificate_twice(self):
        """The second is reported, also if it is both anchor and intermediate."""
        assert words(lint(ROOT, ROOT)) == ["certificate-twice"]
        assert "certificate-twice" in words(lint(ROOT, others=[ROOT]))

    def test_more_than_a_partner_may_have(self):
        """A path is looked for from each: the limit bounds the work."""
        assert len(lint(*[ROOT] * IMPORT_LIMIT)) == IMPORT_LIMIT - 1
        with pytest.raises(MalformedInput) as refused:
            lint(*[ROOT] * IMPORT_LIMIT, others=[ISSUING])
        assert refused.value.code == "import-too-large"

    def test_an_authority_of_our_own(self):
        """By its key, so that another certificate for it is found as well."""
        again = root(key=ROOT.key)
        assert words(lint(again, own=[ROOT])) == ["own-authority"]
        assert words(lint(ROOT, own=[certify("Ours")])) == []

    def test_an_authority_with_the_name_and_key_identifier_of_ours(self):
        """Both together: the name alone may be a coincidence, and so may the identifier."""
        theirs = root(extra=[(ROOT_KEY_ID, False)])
        assert words(lint(theirs, own=[ROOT])) == ["own-authority"]
        assert words(lint(root(), own=[ROOT])) == []
        other = certify("Other", extra=[(ROOT_KEY_ID, False)], **PERFECT)
        assert words(lint(other, own=[ROOT])) == []

    def test_an_authority_above_or_below_ours(self):
        """An intermediate of the import counts as its anchors do; a name alone is no relation."""
        ours = certify("Ours")
        below = certify(CLINIC, ours, **PERFECT)
        assert "own-authority" in words(lint(below, own=[ours]))
        assert "own-authority" in words(lint(ROOT, own=[issuing()]))
        assert "own-authority" in words(lint(ROOT, others=[ISSUING], own=[issuing(ISSUING)]), ISSUING)
        assert "own-authority" not in words(lint(root(), own=[issuing()]))
        assert "own-authority" not in words(lint(issuing(), own=[root()]))


class TestWarnings:
    """What an operator should want to know."""

    def test_an_authority_of_another_partner(self):
        """By its key, and with the name under which it is trusted already."""
        (found,) = lint(ROOT, partners={"east": [root(key=ROOT.key)], "north": [certify("North")]})
        assert found.code.value == "other-partner"
        assert found.text == "an authority of the partner east has the same key"

    def test_a_subject_of_another_partner(self):
        """The same subject with another key is reported with all partners that have it; with the same key it is not."""
        theirs = {
            "west": [root(key=ec.generate_private_key(ec.SECP256R1())), root(key=ROOT.key)],
            "east": [root(), issuing(root())],
            "north": [certify("North")],
        }
        own, namesake, below = lint(ROOT, others=[ISSUING], partners=theirs)
        assert (own.code.value, own.text) == (
            "other-partner",
            "an authority of the partner west has the same key",
        )
        assert namesake.code.value == "subject-of-other-partner"
        assert namesake.text == "an authority of east, west has the same subject and another key"
        assert namesake.certificate == ROOT.parsed.sha256
        assert below.code.value == "subject-of-other-partner"
        assert below.text == "an authority of east has the same subject and another key"
        assert below.certificate == ISSUING.parsed.sha256
        renewed = lint(ROOT, partners={"west": [root(key=ROOT.key)]})
        assert words(renewed) == ["other-partner"]

    @pytest.mark.parametrize(
        ("node", "word", "text"),
        [
            (root(not_before=NOON + DAY), "not-yet-valid", "from 2026-11-24"),
            (root(not_after=NOON + 90 * DAY - timedelta(seconds=1)), "expires-soon", "2027-02-21"),
            (root(not_after=NOON + 9132 * DAY), "validity-long", "2051"),
            (root(key=rsa_key(2048)), "rsa-short", "2048"),
            (root(permitted=()), "names-unconstrained", "any name"),
            (root(path_length=None), "path-length-unlimited", "no path length"),
        ],
    )
    def test_of_one_anchor(self, node, word, text):
        """Each has the one finding."""
        (found,) = lint(node)
        assert (found.code.value, found.code.severity) == (word, Severity.WARNING)
        assert text in found.text

    @pytest.mark.parametrize(
        "node",
        [
            root(not_after=NOON + 90 * DAY),
            root(not_before=NOON, not_after=NOON + 9132 * DAY),
            root(key=rsa_key(3072)),
        ],
    )
    def test_at_the_limit_there_is_nothing_to_say(self, node):
        """90 days, 25 years, 3072 bits."""
        assert lint(node) == ()

    def test_who_excludes_only_may_still_certify_any_other_name(self):
        """Excluded subtrees are no constraint to a partner's own names."""
        assert words(lint(root(permitted=(), excluded=EVERY_FORM[:1]))) == ["names-unconstrained"]

    def test_an_operators_own_subtrees_are_the_remedy(self):
        """They hold as if the anchor had them."""
        inputs = PathInputs(
            initial_permitted=tuple(
                parse_subtree(one)
                for one in (
                    "dns:clinic.example",
                    "email:clinic.example",
                    "uri:clinic.example",
                    "dn:O=Clinic",
                )
            )
        )
        assert lint(root(permitted=()), inputs=inputs) == ()

    def test_two_of_one_subject_and_different_keys(self):
        """The second names the first, once; the same key again is a renewal."""
        other = root()
        (found,) = lint(ROOT, root(key=ROOT.key, not_after=NOON + 999 * DAY), other)
        assert (found.code.value, found.certificate) == ("subject-shared", other.parsed.sha256)
        assert ROOT.parsed.sha256[:16] in found.text

    def test_an_intermediate_where_no_more_may_stand(self):
        """Root (length 0) -> Issuing: no certificate below it would pass. Self-issued ones are not counted."""
        short = root(path_length=0)
        below = issuing(short)
        (found,) = lint(short, others=[below])
        assert (found.code.value, found.certificate) == ("path-length-exhausted", below.parsed.sha256)
        again = issuing(short, CLINIC)
        assert "path-length-exhausted" not in words(lint(short, others=[again]))

    @pytest.mark.parametrize(
        ("extra", "found"),
        [
            ([], ["status-address-missing"]),
            ([crl_at("ldap://pki.clinic.example/cn=root")], ["status-address-not-http"]),
            ([crl_at(("ldap://pki.clinic.example/cn=root", "HTTP://pki.clinic.example/"))], []),
            ([responder_at("http://ocsp.clinic.example")], []),
            ([responder_at("http://pki.clinic.example", method=CA_ISSUERS)], ["status-address-missing"]),
            (
                [
                    (
                        x509.CRLDistributionPoints(
                            [x509.DistributionPoint(None, None, None, [x509.DirectoryName(name("x"))])]
                        ),
                        False,
                    )
                ],
                ["status-address-missing"],
            ),
        ],
    )
    def test_an_intermediate_needs_an_address_of_evidence(self, extra, found):
        """If evidence is required, there must be an address that it can be fetched from."""
        assert words(lint(ROOT, others=[issuing(extra=extra)])) == found


class TestNotes:
    """What is harmless."""

    @pytest.mark.parametrize(
        ("node", "word", "text"),
        [
            (
                with_sha1(root(key=rsa_key(3072)), rsa_key(3072)),
                "anchor-signature-old",
                "broken",
            ),
            (root(signer=ec.generate_private_key(ec.SECP256R1())), "anchor-not-self-signed", "another key"),
            (issuing(permitted=EVERY_FORM), "anchor-not-self-signed", "another key"),
            (
                root(permitted=EVERY_FORM[:2]),
                "names-partly-constrained",
                "it can certify any name of the forms uri, directory",
            ),
            (root(policy={"explicit": 0}), "policy-constraints", "policy"),
        ],
    )
    def test_of_one_anchor(self, node, word, text):
        """Each has the one finding."""
        (found,) = lint(node)
        assert (found.code.value, found.code.severity) == (word, Severity.NOTE)
        assert text in found.text


@pytest.mark.parametrize(
    ("permitted", "excluded", "said"),
    [
        ([x509.DNSName(".corp.example")], [], "DNS:.corp.example permits no name"),
        ([], [x509.DNSName(".corp.example")], "DNS:.corp.example may exclude any name"),
        (
            [x509.UniformResourceIdentifier("https://corp.example/")],
            [],
            "URI:https://corp.example/ permits no name",
        ),
        ([x509.RegisteredID(ObjectIdentifier("1.2.3"))], [], "RID:1.2.3 permits no name"),
    ],
)
def test_a_constraint_that_no_name_satisfies_is_told(permitted, excluded, said):
    """RFC 5280 section 4.2.1.10: a dNSName constraint has no dot before it, and a URI constraint is a host."""
    found = [
        one
        for one in lint(certify("Narrow", permitted=permitted, excluded=excluded))
        if one.code.value == "constraint-unsatisfiable"
    ]
    assert [one.text.startswith(said) for one in found] == [True]
    assert "4.2.1.10" in found[0].text


def test_constraints_that_names_satisfy_are_not_told():
    """Hosts, domains, addresses, networks and directory names in the forms of section 4.2.1.10."""
    fine = [
        x509.DNSName("corp.example"),
        x509.RFC822Name(".corp.example"),
        x509.UniformResourceIdentifier(".corp.example"),
        x509.IPAddress(ip_network("10.0.0.0/8")),
        x509.DirectoryName(name("Corp")),
    ]
    assert "constraint-unsatisfiable" not in words(lint(certify("Narrow", permitted=fine)))
