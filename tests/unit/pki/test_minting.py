"""Minting in two steps: lint can refuse before anything is signed, and exactly the linted bytes are signed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from doorward.core.certificate_names import build_subject
from doorward.core.entities import PrincipalKind
from doorward.core.errors import IntegrityError, MalformedInput, RequestRefused
from doorward.core.names import render_principal_uri
from doorward.core.ports import KeyKind
from doorward.pki.keys import choose_lint_kind
from doorward.pki.minting import (
    MintingRequest,
    PublicationUrls,
    mint_issuing,
    mint_root,
    new_serial,
    prepare,
    sign,
)
from doorward.pki.profiles import (
    DEVICE,
    ISSUING,
    OCSP_RESPONDER,
    PERSON,
    ROOT,
    SERVER,
    choose_validity,
)
from tests.support.certificates.issuing import cached_key, toy_ca
from tests.support.ports import NOON, FakeRandom
from tests.support.refusals import refused

RANDOM = FakeRandom()
URLS = PublicationUrls(
    crl="http://pki.corp.example/crl/1.crl",
    ocsp="http://pki.corp.example/ocsp",
    ca_issuers="http://pki.corp.example/ca/1.cer",
)
LINT_KEY = cached_key(number=100)
HOLDER = cached_key(number=101)


def make_ca(kind: KeyKind = KeyKind.P256):
    """A root and an issuing CA, minted: (root, issuing, issuing key, lint key)."""
    root_key, key = cached_key(kind, 1), cached_key(kind, 2)
    lint_key = cached_key(choose_lint_kind(key.public_key()), 100)
    root = mint_root(
        subject=build_subject("Root", "Corp"),
        key=root_key,
        validity=choose_validity(ROOT, NOON),
        serial=new_serial(RANDOM),
        lint_key=lint_key,
    )
    issuing = mint_issuing(
        subject=build_subject("Issuing 1", "Corp"),
        public_key=key.public_key(),
        validity=choose_validity(ISSUING, NOON, issuer=root.certificate),
        serial=new_serial(RANDOM),
        issuer=root.certificate,
        issuer_key=root_key,
        lint_key=lint_key,
        urls=URLS,
    )
    return root, issuing, key, lint_key


ROOT_CERTIFICATE, ISSUER, ISSUER_KEY, _ = make_ca()


def ask(profile=PERSON, *, issuer=ISSUER.certificate, **changes) -> MintingRequest:
    """A good request for alice's certificate, with changes."""
    uri = render_principal_uri("corp.example", PrincipalKind.PERSON, "alice")
    request = MintingRequest(
        profile=profile,
        subject=build_subject("alice"),
        public_key=HOLDER.public_key(),
        validity=choose_validity(profile, NOON, issuer=issuer),
        serial=new_serial(RANDOM),
        issuer=issuer,
        san=(x509.UniformResourceIdentifier(uri),),
        urls=URLS,
    )
    return replace(request, **changes)


def refusal_of(request: MintingRequest) -> RequestRefused:
    """The refusal that `prepare` ends with."""
    with pytest.raises(RequestRefused) as caught:
        prepare(request, LINT_KEY)
    return caught.value


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048])
def test_a_chain_of_any_kind_of_key_verifies(kind):
    """Root, issuing CA and leaf are each signed by the one above, for every kind of CA key."""
    root, issuing, key, lint_key = make_ca(kind)
    minted = sign(prepare(ask(issuer=issuing.certificate), lint_key), key)
    minted.certificate.verify_directly_issued_by(issuing.certificate)
    issuing.certificate.verify_directly_issued_by(root.certificate)
    root.certificate.verify_directly_issued_by(root.certificate)
    assert minted.facts.subject == "CN=alice"
    assert minted.facts.issuer == "CN=Issuing 1,O=Corp"
    assert minted.facts.san == ("URI:spiffe://corp.example/person/alice",)
    assert (minted.facts.key_kind, minted.facts.der) == ("p256", minted.der)


def test_the_certificate_points_to_what_the_issuer_publishes():
    """AIA and CDP hold the addresses that were given; empty ones are left out."""
    certificate = sign(prepare(ask(), LINT_KEY), ISSUER_KEY).certificate
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [entry.access_location.value for entry in access] == [URLS.ocsp, URLS.ca_issuers]
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name[0].value == URLS.crl
    bare = sign(prepare(ask(urls=PublicationUrls()), LINT_KEY), ISSUER_KEY).certificate
    present = {extension.oid._name for extension in bare.extensions}
    assert not present & {"authorityInfoAccess", "cRLDistributionPoints"}


def test_servers_and_ocsp_responders_are_minted_too():
    """Their profiles decide purposes and names; the responder's cannot be revoked and says so."""
    server = sign(prepare(ask(SERVER, san=(x509.DNSName("pki.corp.example"),)), LINT_KEY), ISSUER_KEY)
    assert server.facts.san == ("DNS:pki.corp.example",)
    responder = ask(OCSP_RESPONDER, san=(), urls=PublicationUrls())
    certificate = sign(prepare(responder, LINT_KEY), ISSUER_KEY).certificate
    assert certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)


def test_what_is_signed_is_what_was_linted():
    """The issuer's key signs the very bytes that passed lint; the record of intent names them."""
    prepared = prepare(ask(), LINT_KEY)
    minted = sign(prepared, ISSUER_KEY)
    assert minted.certificate.tbs_certificate_bytes == prepared.tbs
    assert len(prepared.tbs_sha256) == 64


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"serial": 5}, "serial"),
        ({"san": ()}, "extension-missing"),
        ({"san": (x509.DNSName("corp.example"),)}, "alternative-name"),
        ({"profile": DEVICE}, "alternative-name"),
        ({"urls": PublicationUrls(crl="ldap://x")}, "publication-address"),
        ({"profile": ISSUING}, "issuer-path-length extension-unexpected"),
        ({"subject": x509.Name([])}, "subject"),
    ],
)
def test_a_lint_fault_refuses_the_request(changes, faults):
    """Before the issuer's key is touched, with the code of every broken rule."""
    error = refusal_of(ask(**changes))
    assert error.code == "certificate-refused"
    assert error.context["faults"] == faults


def test_what_no_builder_can_build_is_refused():
    """A serial of no octets, or an issuer without a key identifier, is a refusal, not a crash."""
    assert refusal_of(ask(serial=-1)).code == "certificate-refused"
    nameless = toy_ca("Odd", drop=[x509.SubjectKeyIdentifier]).certificate
    assert refusal_of(ask(issuer=nameless)).code == "certificate-refused"


def test_a_weak_holder_or_issuer_is_malformed():
    """Keys are checked before anything is built."""
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(MalformedInput):
        prepare(ask(public_key=weak.public_key()), LINT_KEY)


def test_the_issuers_own_key_never_lints():
    """Neither the issuer's key nor a key with another signature algorithm may sign for lint."""
    for key in (ISSUER_KEY, cached_key(KeyKind.P384), cached_key(KeyKind.ED25519)):
        with refused(RequestRefused, "lint-key-refused"):
            prepare(ask(), key)


def test_only_the_issuers_key_signs():
    """Another key than the issuer certificate's signs nothing."""
    prepared = prepare(ask(), LINT_KEY)
    for key in (LINT_KEY, HOLDER, cached_key(KeyKind.ED25519)):
        with refused(IntegrityError, "issuer-key-mismatch"):
            sign(prepared, key)


def test_serials_are_unpredictable_positive_and_of_one_length():
    """126 bits from the random source under a fixed top bit: 16 octets, never negative."""
    serials = [new_serial(RANDOM) for _ in range(200)]
    assert {serial.bit_length() for serial in serials} == {127}
    assert len(set(serials)) == 200
    moving = 0
    for serial in serials:
        moving |= serial ^ serials[0]
    assert moving == (1 << 126) - 1
