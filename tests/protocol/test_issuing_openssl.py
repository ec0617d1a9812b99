"""Minted certificates, judged by the openssl command."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from doorward.core.certificate_names import build_subject
from doorward.core.entities import PrincipalKind
from doorward.core.names import render_principal_uri
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.keys import choose_lint_kind
from doorward.pki.minting import (
    MintedCertificate,
    MintingRequest,
    PublicationUrls,
    mint_issuing,
    mint_root,
    new_serial,
    prepare,
    sign,
)
from doorward.pki.profiles import ISSUING, OCSP_RESPONDER, PERSON, ROOT, SERVER, choose_validity
from tests.support.certificates.issuing import (
    EVERY_EXTENSION,
    CertifiedKey,
    cached_key,
    certify,
    key_pem_of,
    pem_of,
)
from tests.support.commands import run_openssl
from tests.support.ports import FakeRandom

pytestmark = pytest.mark.needs("openssl")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RANDOM = FakeRandom("openssl")
URLS = PublicationUrls(
    crl="http://pki.corp.example/crl/1.crl",
    ocsp="http://pki.corp.example/ocsp",
    ca_issuers="http://pki.corp.example/ca/1.cer",
)
KINDS = [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048]


class Hierarchy:
    """A root and an issuing CA of one kind of key, minted and written to files."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        self.root_key, self.key = cached_key(kind, 1), cached_key(kind, 2)
        self.lint_key = cached_key(choose_lint_kind(self.key.public_key()), 100)
        self.root = mint_root(
            subject=build_subject("Root", "Corp"),
            key=self.root_key,
            validity=choose_validity(ROOT, NOW),
            serial=new_serial(RANDOM),
            lint_key=self.lint_key,
        )
        self.issuing = mint_issuing(
            subject=build_subject("Issuing 1", "Corp"),
            public_key=self.key.public_key(),
            validity=choose_validity(ISSUING, NOW, issuer=self.root.certificate),
            serial=new_serial(RANDOM),
            issuer=self.root.certificate,
            issuer_key=self.root_key,
            lint_key=self.lint_key,
            urls=URLS,
        )

    def mint(self, profile, key, san=(), urls=URLS) -> MintedCertificate:
        """An end-entity certificate."""
        issuer = self.issuing.certificate
        request = MintingRequest(
            profile=profile,
            subject=build_subject("alice"),
            public_key=key.public_key(),
            validity=choose_validity(profile, NOW, issuer=issuer),
            serial=new_serial(RANDOM),
            issuer=issuer,
            san=san,
            urls=urls,
        )
        return sign(prepare(request, self.lint_key), self.key)

    def write(self, name: str, *certificates: MintedCertificate) -> str:
        """Write certificates as PEM; return the path."""
        path = self.folder / name
        path.write_bytes(b"".join(pem_of(minted.certificate) for minted in certificates))
        return str(path)

    def verify(
        self, minted: MintedCertificate, purpose: str, at: datetime = NOW
    ) -> subprocess.CompletedProcess:
        """Verify strictly for a purpose at a moment."""
        return run_openssl(
            *("verify", "-x509_strict", "-purpose", purpose, "-attime", str(int(at.timestamp()))),
            *("-no-CApath", "-no-CAstore", "-CAfile", self.write("root.pem", self.root)),
            *("-untrusted", self.write("issuing.pem", self.issuing)),
            self.write("leaf.pem", minted),
        )


@pytest.fixture(params=KINDS, ids=[kind.value for kind in KINDS])
def hierarchy(request, tmp_path) -> Hierarchy:
    """One per kind of CA key."""
    return Hierarchy(request.param, tmp_path)


def alice() -> tuple[x509.GeneralName, ...]:
    """Alice's URI."""
    uri = render_principal_uri("corp.example", PrincipalKind.PERSON, "alice")
    return (x509.UniformResourceIdentifier(uri),)


def test_a_client_certificate_verifies_strictly(hierarchy):
    """`openssl verify -x509_strict -purpose sslclient` accepts the chain."""
    minted = hierarchy.mint(PERSON, cached_key(number=3), alice())
    result = hierarchy.verify(minted, "sslclient")
    assert result.returncode == 0, result.stdout.decode()
    assert hierarchy.verify(minted, "sslserver").returncode != 0


def test_a_server_certificate_verifies_strictly(hierarchy):
    """A server's is good for servers and not for clients."""
    minted = hierarchy.mint(SERVER, cached_key(number=3), (x509.DNSName("a.corp.example"),))
    result = hierarchy.verify(minted, "sslserver")
    assert result.returncode == 0, result.stdout.decode()
    assert hierarchy.verify(minted, "sslclient").returncode != 0


def test_an_ocsp_responder_is_one(hierarchy):
    """Openssl takes the delegate's certificate for the purpose ocsphelper."""
    minted = hierarchy.mint(OCSP_RESPONDER, cached_key(number=3), urls=PublicationUrls())
    result = hierarchy.verify(minted, "ocsphelper")
    assert result.returncode == 0, result.stdout.decode()


def test_validity_begins_in_the_past_and_ends(hierarchy):
    """Five minutes ago is within, ten are not; after the end it is over."""
    minted = hierarchy.mint(PERSON, cached_key(number=3), alice())
    assert hierarchy.verify(minted, "sslclient", NOW - timedelta(minutes=5)).returncode == 0
    assert b"not yet valid" in hierarchy.verify(minted, "sslclient", NOW - timedelta(minutes=10)).stdout
    assert b"expired" in hierarchy.verify(minted, "sslclient", NOW + timedelta(days=91)).stdout


def test_a_leaf_issues_nothing(hierarchy):
    """A certificate that alice signs with her own key does not verify: she is no CA."""
    key = cached_key(number=3)
    person = hierarchy.mint(PERSON, key, alice())
    alice_issues = CertifiedKey(person.certificate, key)
    forged = certify(build_subject("mallory"), alice_issues, key=key, drop=EVERY_EXTENSION)
    path = hierarchy.folder / "forged.pem"
    path.write_bytes(forged.pem)
    result = run_openssl(
        *("verify", "-attime", str(int(NOW.timestamp())), "-no-CApath", "-no-CAstore"),
        *("-CAfile", hierarchy.write("root.pem", hierarchy.root)),
        *("-untrusted", hierarchy.write("chain.pem", hierarchy.issuing, person), str(path)),
    )
    assert result.returncode != 0


def test_openssl_reads_what_the_certificate_says(hierarchy):
    """Usage, purpose, names and pointers come out as they went in."""
    minted = hierarchy.mint(PERSON, cached_key(number=3), alice())
    text = run_openssl("x509", "-noout", "-text", "-in", hierarchy.write("leaf.pem", minted)).stdout.decode()
    for line in (
        "Version: 3",
        "CA:FALSE",
        "TLS Web Client Authentication",
        "URI:spiffe://corp.example/person/alice",
        "OCSP - URI:http://pki.corp.example/ocsp",
        "CA Issuers - URI:http://pki.corp.example/ca/1.cer",
        "URI:http://pki.corp.example/crl/1.crl",
    ):
        assert line in text


@pytest.mark.parametrize("kind", KINDS)
def test_our_requests_verify_in_openssl(kind, tmp_path):
    """`openssl req -verify` accepts the agent's request."""
    path = tmp_path / "a.csr"
    path.write_bytes(build_csr(cached_key(kind), "alice", ["a.corp.example"]))
    result = run_openssl("req", "-in", str(path), "-noout", "-verify")
    assert b"verify OK" in result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_openssls_requests_are_taken(kind, tmp_path):
    """A request that `openssl req -new` makes is accepted."""
    path = tmp_path / "k.pem"
    path.write_bytes(key_pem_of(cached_key(kind)))
    made = run_openssl(
        "req",
        "-new",
        "-key",
        str(path),
        "-subj",
        "/CN=alice/O=Corp",
        "-addext",
        "subjectAltName=DNS:A.example",
    )
    request = parse_csr(made.stdout)
    assert request.key_kind == kind.value
    assert request.public_key == cached_key(kind).public_key()


def test_weak_requests_of_openssl_are_refused(tmp_path):
    """A SHA-1 signature by openssl proves nothing here."""
    path = tmp_path / "k.pem"
    path.write_bytes(key_pem_of(cached_key(KeyKind.RSA2048)))
    made = run_openssl("req", "-new", "-sha1", "-key", str(path), "-subj", "/CN=alice")
    with pytest.raises(Exception, match="sha1"):
        parse_csr(made.stdout)


def test_the_facts_agree_with_openssl(hierarchy):
    """Serial and digest are those that openssl prints."""
    minted = hierarchy.mint(PERSON, cached_key(number=3), alice())
    printed = run_openssl(
        "x509", "-noout", "-serial", "-fingerprint", "-sha256", "-in", hierarchy.write("leaf.pem", minted)
    ).stdout.decode()
    assert f"serial={minted.facts.serial:X}" in printed
    assert minted.facts.sha256.upper() in printed.replace(":", "")
    assert minted.certificate.public_bytes(serialization.Encoding.DER) == minted.der
