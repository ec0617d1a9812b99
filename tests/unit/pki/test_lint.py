"""Every rule of the lint, each broken alone on an otherwise good certificate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import (
    ExtendedKeyUsageOID,
    NameOID,
    ObjectIdentifier,
)

from doorward.core.ports import KeyKind
from doorward.pki.lint import URL_LIMIT, lint_certificate
from doorward.pki.profiles import (
    BACKDATE,
    CROSS,
    DEVICE,
    ISSUING,
    NO_REV_AVAIL,
    OCSP_RESPONDER,
    PERSON,
    ROOT,
    SERVER,
    choose_short_life,
)
from tests.support.certificates.issuing import (
    EVERY_EXTENSION,
    CertifiedKey,
    cached_key,
    certify,
    crl_at,
    key_identifier,
    key_usage,
    responder_at,
    toy_ca,
)
from tests.support.ports import NOON

CA = toy_ca("Lint Root")
BELOW = CA.issuing("Lint Issuing")
ALICE = x509.UniformResourceIdentifier("spiffe://corp.example/person/alice")
CRL_URL = "http://pki.corp.example/crl/1.crl"
OCSP_URL = "http://pki.corp.example:8080/ocsp"


def subject(*attributes: tuple[ObjectIdentifier, str]) -> x509.Name:
    """A name, without the library's own length check."""
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in attributes])


ALICE_NAME = subject((NameOID.COMMON_NAME, "alice"))


@dataclass(frozen=True)
class Draft:
    """A good certificate of alice's, of which a test changes one part."""

    profile: object = PERSON
    ca: CertifiedKey | None = BELOW
    name: x509.Name = ALICE_NAME
    issuer_name: x509.Name | None = None
    serial: int = 1 << 126
    begin: object = NOON - BACKDATE
    end: object = NOON + timedelta(days=90)
    key: object = field(default_factory=lambda: cached_key(number=9))
    digest: object = field(default_factory=hashes.SHA256)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()

    def lint(self) -> list[str]:
        """The codes of the faults that lint finds."""
        made = certify(
            self.name,
            self.ca,
            key=self.key,
            signer=cached_key(number=8),
            issuer_name=self.issuer_name,
            serial=self.serial,
            not_before=self.begin,
            not_after=self.end,
            hash_algorithm=self.digest,
            drop=EVERY_EXTENSION,
            extra=self.extensions,
        )
        above = self.ca and self.ca.certificate
        return [fault.code for fault in lint_certificate(made.certificate, self.profile, above)]

    def swap(self, extension: x509.ExtensionType, *, critical: bool | None = None) -> Draft:
        """This draft with one extension in place of the one of its kind, or added."""
        kept = [(value, flag) for value, flag in self.extensions if value.oid != extension.oid]
        before = [flag for value, flag in self.extensions if value.oid == extension.oid]
        flag = critical if critical is not None else bool(before and before[0])
        return replace(self, extensions=(*kept, (extension, flag)))

    def drop(self, kind: type[x509.ExtensionType]) -> Draft:
        """This draft without the extension of that kind."""
        return replace(
            self, extensions=tuple(pair for pair in self.extensions if not isinstance(pair[0], kind))
        )


def issuer_key(ca: CertifiedKey) -> x509.AuthorityKeyIdentifier:
    """The authority key identifier that points to a CA."""
    return x509.AuthorityKeyIdentifier(key_identifier(ca), None, None)


def own_key(key) -> x509.SubjectKeyIdentifier:
    """The subject key identifier of a key."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def person() -> Draft:
    """A good certificate for a person."""
    draft = Draft()
    return replace(
        draft,
        extensions=(
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (key_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.SubjectAlternativeName([ALICE]), False),
            (own_key(draft.key), False),
            (issuer_key(BELOW), False),
            crl_at(CRL_URL),
            responder_at(OCSP_URL),
        ),
    )


def server() -> Draft:
    """A good certificate for a listener."""
    draft = replace(person(), profile=SERVER, end=NOON + timedelta(days=30))
    draft = draft.swap(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    return draft.swap(x509.SubjectAlternativeName([x509.DNSName("*.corp.example")]))


def authority(profile, ca) -> Draft:
    """A good CA certificate."""
    draft = replace(Draft(), profile=profile, ca=ca, name=subject((NameOID.COMMON_NAME, "CA 2")))
    extensions = [
        (x509.BasicConstraints(ca=True, path_length=profile.path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
        (own_key(draft.key), False),
    ]
    if ca is not None:
        extensions.append((issuer_key(ca), False))
    return replace(draft, extensions=tuple(extensions))


def responder() -> Draft:
    """A good certificate for an OCSP responder."""
    draft = person().drop(x509.SubjectAlternativeName).drop(x509.CRLDistributionPoints)
    draft = replace(draft.drop(x509.AuthorityInformationAccess), profile=OCSP_RESPONDER)
    draft = replace(draft, end=NOON + timedelta(days=30)).swap(x509.OCSPNoCheck())
    return draft.swap(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]))


def short() -> Draft:
    """A good certificate for a person, without revocation information."""
    draft = person().drop(x509.CRLDistributionPoints).drop(x509.AuthorityInformationAccess)
    draft = draft.swap(x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"))
    end = NOON + timedelta(days=7)
    return replace(draft, profile=choose_short_life(PERSON, timedelta(days=7)), end=end)


@pytest.mark.parametrize(
    "draft", [person(), short(), server(), responder(), authority(ROOT, None), authority(ISSUING, CA)]
)
def test_a_good_certificate_has_no_fault(draft):
    """The drafts that the other tests break are clean."""
    assert draft.lint() == []


def test_pointers_are_optional():
    """A certificate without publication addresses is complete."""
    draft = person().drop(x509.CRLDistributionPoints).drop(x509.AuthorityInformationAccess)
    assert draft.lint() == []


@pytest.mark.parametrize("serial", [1, (1 << 63) - 1])
def test_serials_are_long(serial):
    """Fewer than 64 bits could be guessed or counted."""
    assert replace(person(), serial=serial).lint() == ["serial"]
    assert replace(person(), serial=1 << 63).lint() == []
    assert replace(person(), serial=(1 << 159) - 1).lint() == []


def test_signature_algorithms_are_ours():
    """A hash outside the list is a fault."""
    assert replace(person(), digest=hashes.SHA3_256()).lint() == ["signature-algorithm"]


def test_the_issuer_is_named_as_it_names_itself():
    """A name that only looks alike breaks the chain."""
    spelled = subject((NameOID.COMMON_NAME, "LINT ISSUING"))
    assert replace(person(), issuer_name=spelled).lint() == ["issuer-name"]
    assert replace(authority(ROOT, None), issuer_name=spelled).lint() == ["issuer-name"]


def test_only_a_root_signs_itself():
    """A client certificate without an issuer is a fault."""
    draft = replace(person(), ca=None).drop(x509.AuthorityKeyIdentifier)
    assert "issuer-missing" in draft.lint()


def test_the_issuer_is_a_ca():
    """A leaf cannot be an issuer, and neither can a CA without keyCertSign or basicConstraints."""
    assert replace(person(), ca=BELOW.leaf("mallory")).lint()[0] == "issuer-not-ca"
    nearly = CA.issuing("bare")
    assert "issuer-not-ca" not in replace(person(), ca=nearly).lint()
    for strip in (x509.KeyUsage, x509.BasicConstraints):
        assert replace(person(), ca=CA.issuing("bare", drop=[strip])).lint()[0] == "issuer-not-ca"


def test_a_ca_with_path_length_zero_certifies_no_ca():
    """An issuing CA cannot make another."""
    draft = authority(ISSUING, BELOW)
    assert draft.lint() == ["issuer-path-length"]


def test_a_path_length_leaves_room_for_what_is_below():
    """Below a root with path length 1 there is an issuing CA and no cross-certificate, which would need 2."""
    for length, profile, faults in (
        (1, ISSUING, []),
        (1, CROSS, ["issuer-path-length"]),
        (2, CROSS, []),
        (None, CROSS, []),
    ):
        issuer = toy_ca("Above", path_length=length, key=CA.key)
        assert authority(profile, issuer).lint() == faults


def test_lifetimes_stay_within_the_profile_and_the_issuer():
    """Longer than the longest, before or beyond the issuer: each is a fault."""
    assert replace(person(), end=NOON + PERSON.max_lifetime).lint() == []
    assert replace(person(), end=NOON + PERSON.max_lifetime + timedelta(seconds=1)).lint() == ["lifetime"]
    assert replace(person(), end=NOON - BACKDATE).lint() == ["lifetime"]
    assert replace(person(), begin=NOON - timedelta(days=2)).lint() == ["outlives-issuer"]
    short = CA.issuing("Lint Issuing", not_after=NOON + timedelta(days=1))
    assert replace(person(), ca=short).swap(issuer_key(short)).lint() == ["outlives-issuer"]


CN, ORG, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        (subject((ORG, "Corp"), (CN, "alice")), []),
        (subject((CN, "a" * 64)), []),
        (subject(), ["subject"]),
        (subject((ORG, "Corp")), ["subject"]),
        (subject((CN, "a"), (CN, "b")), ["subject"]),
        (subject((UNIT, "x"), (CN, "a")), ["subject"]),
        (subject((CN, "a\nb")), ["subject-length"]),
    ],
)
def test_subjects_are_a_common_name_and_an_organization(name, faults):
    """Anything else in a subject is a fault."""
    assert replace(person(), name=name).lint() == faults


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_long_or_empty_name_is_a_fault():
    """ub-common-name is 64; the library only warns of it when it reads."""
    for value in ("a" * 65, ""):
        assert replace(person(), name=subject((CN, value))).lint() == ["subject-length"]


def test_weak_keys_are_faults():
    """The rule is that of certification requests, with its codes."""
    weak = rsa.generate_private_key(65537, 1024)
    assert replace(person(), key=weak).swap(own_key(weak)).lint() == ["key-weak"]


@pytest.mark.parametrize(
    "kind",
    [
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.ExtendedKeyUsage,
        x509.SubjectAlternativeName,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    ],
)
def test_no_extension_of_the_profile_may_be_missing(kind):
    """Each is asked for."""
    assert person().drop(kind).lint() == ["extension-missing"]


@pytest.mark.parametrize(
    "draft",
    [
        person().swap(x509.OCSPNoCheck()),
        person().swap(x509.InhibitAnyPolicy(0)),
        responder().swap(crl_at(CRL_URL)[0]),
        authority(ROOT, None).swap(crl_at(CRL_URL)[0]),
        authority(ROOT, None).swap(issuer_key(CA)),
    ],
)
def test_no_other_extension_may_be_there(draft):
    """An extension that the profile does not have is a fault: a no-check on a person, a pointer in a root."""
    assert draft.lint() == ["extension-unexpected"]


def test_an_unexpected_name_is_told_once():
    """Names in a CA certificate are unexpected; the rule for names has nothing to add."""
    assert authority(ISSUING, CA).swap(x509.SubjectAlternativeName([ALICE])).lint() == [
        "extension-unexpected"
    ]


def test_criticality_is_exact():
    """Basic constraints and key usage are critical, nothing else is."""
    draft = person().swap(x509.BasicConstraints(ca=False, path_length=None), critical=False)
    assert draft.lint() == ["extension-criticality"]
    assert person().swap(x509.SubjectAlternativeName([ALICE]), critical=True).lint() == [
        "extension-criticality"
    ]


def test_no_certificate_becomes_a_ca_by_accident():
    """The CA bit in a person's certificate, and another path length, are faults."""
    assert person().swap(x509.BasicConstraints(ca=True, path_length=None)).lint() == ["basic-constraints"]
    deeper = authority(ISSUING, CA).swap(x509.BasicConstraints(ca=True, path_length=1))
    assert deeper.lint() == ["basic-constraints"]


@pytest.mark.parametrize(
    "bits",
    [
        (),
        ("digital_signature", "key_cert_sign"),
        ("digital_signature", "key_encipherment"),
        ("digital_signature", "content_commitment"),
    ],
)
def test_key_usage_is_exact(bits):
    """One bit more or less is a fault."""
    assert person().swap(key_usage(*bits)).lint() == ["key-usage"]


@pytest.mark.parametrize(
    "purposes",
    [
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    ],
)
def test_extended_key_usage_is_exact(purposes):
    """Another purpose, or one more, is a fault."""
    assert person().swap(x509.ExtendedKeyUsage(purposes)).lint() == ["extended-key-usage"]


def test_key_identifiers_are_the_keys_own():
    """A subject key identifier of another key, or an authority's of another CA, breaks the chain."""
    assert person().swap(own_key(cached_key(number=7))).lint() == ["subject-key-identifier"]
    assert person().swap(issuer_key(CA)).lint() == ["authority-key-identifier"]
    bare = CA.issuing(BELOW.name, key=BELOW.key, drop=[x509.SubjectKeyIdentifier])
    assert replace(person(), ca=bare).lint() == ["authority-key-identifier"]


EMAIL = x509.RFC822Name("alice.smith+x@corp.example")
OTHER = x509.UniformResourceIdentifier("https://corp.example/alice")


@pytest.mark.parametrize(
    ("draft", "names", "good"),
    [
        (person(), [ALICE, EMAIL], True),
        (person(), [EMAIL], False),
        (person(), [ALICE, ALICE], False),
        (person(), [ALICE, OTHER], False),
        (person(), [OTHER], False),
        (person(), [x509.UniformResourceIdentifier("spiffe://corp.example/device/alice")], False),
        (person(), [ALICE, x509.DNSName("corp.example")], False),
        (person(), [ALICE, x509.RFC822Name("@corp.example")], False),
        (person(), [ALICE, x509.RFC822Name("alice@corp_example")], False),
        (person(), [ALICE, x509.RFC822Name("alice")], False),
        (person(), [ALICE, x509.RFC822Name('a"b@corp.example')], False),
        (person(), [ALICE, x509.RFC822Name("a" * 255 + "@corp.example")], False),
        (replace(person(), profile=DEVICE), [ALICE], False),
        (
            replace(person(), profile=DEVICE),
            [x509.UniformResourceIdentifier("spiffe://corp.example/device/cam"), EMAIL],
            False,
        ),
        (server(), [x509.DNSName("a.example"), x509.IPAddress(ip_address("10.0.0.1"))], True),
        (server(), [], False),
        (server(), [x509.DNSName("A.example")], False),
        (server(), [x509.DNSName("*")], False),
        (server(), [x509.IPAddress(ip_network("10.0.0.0/8"))], False),
        (server(), [x509.DNSName("a.example"), ALICE], False),
    ],
)
def test_names_are_those_of_the_profile(draft, names, good):
    """One principal's URI of the right kind and mail for people; host names and addresses for servers."""
    faults = draft.swap(x509.SubjectAlternativeName(names)).lint()
    assert faults == ([] if good else ["alternative-name"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://pki.corp.example/1.crl",
        "http:///1.crl",
        "/1.crl",
        "http://pki.corp.example/a b",
        "http://pki.corp.example/\n",
        "http://u@pki.corp.example/",
        "http://pki.corp.example/#x",
        "http://pki.corp.example:99999/",
        "http://pki.corp.example:0/",
        "http://[::1/",
        "http://pki.corp.example/" + "a" * URL_LIMIT,
    ],
)
def test_publication_addresses_can_be_fetched(url):
    """Only absolute http(s) URLs without anything to quote."""
    assert person().swap(crl_at(url)[0]).lint() == ["publication-address"]
    assert person().swap(responder_at(url)[0]).lint() == ["publication-address"]


def test_a_distribution_point_is_named_in_full():
    """A name relative to the issuer, or of another type, cannot be fetched."""
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    for name in ((None, relative), ([x509.DNSName("pki.corp.example")], None)):
        point = x509.DistributionPoint(*name, None, None)
        assert person().swap(x509.CRLDistributionPoints([point])).lint() == ["publication-address"]


def test_every_fault_is_reported_with_its_section():
    """Lint does not stop at the first fault."""
    draft = replace(person(), serial=5).swap(key_usage()).swap(x509.SubjectAlternativeName([OTHER]))
    assert draft.lint() == ["serial", "key-usage", "alternative-name"]


def test_ed25519_and_rsa_holders_are_fine():
    """The holder's key may be of another kind than the issuer's."""
    for kind in (KeyKind.ED25519, KeyKind.RSA2048, KeyKind.P384):
        key = cached_key(kind)
        assert replace(person(), key=key).swap(own_key(key)).lint() == []


def test_no_revocation_information_is_for_short_lives_only():
    """Pointers beside noRevAvail, a long life, another value, a CA and a profile without it: each is a fault."""
    null = x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00")
    assert short().swap(responder_at(OCSP_URL)[0]).lint() == ["extension-unexpected"]
    assert short().swap(crl_at(CRL_URL)[0]).lint() == ["extension-unexpected"]
    assert replace(short(), end=NOON + timedelta(days=8)).lint() == ["lifetime", "no-rev-avail"]
    other = x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x01\x00")
    assert short().swap(other).lint() == ["no-rev-avail"]
    assert short().swap(null, critical=True).lint() == ["extension-criticality"]
    assert short().drop(x509.UnrecognizedExtension).lint() == ["extension-missing"]
    assert person().swap(null).lint() == ["extension-unexpected", "no-rev-avail"]
    faults = replace(authority(ISSUING, CA), end=NOON + timedelta(days=7)).swap(null).lint()
    assert faults == ["extension-unexpected", "no-rev-avail"]
