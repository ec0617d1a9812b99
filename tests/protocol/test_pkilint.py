"""Everything that the authority signs, judged by pkilint: certificates, revocation lists, OCSP answers."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.authority import issuing, orders, revocation
from doorward.authority.status import crls
from doorward.authority.status import root_crl as root_list
from doorward.authority.status.partitions import partition_names
from doorward.core.certificate import RevocationReason
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import cached_key, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.ocsp_listener import answer_ocsp
from tests.support.pkilint import ALLOWED, CERTIFICATE, CHAIN, CRL, OCSP, Finding, findings
from tests.support.world import OPERATOR, World, found_world

PROFILES = ("person", "device", "service", "server")
AUTHORITIES = ("root", "issuing", "ocsp-responder")
KEYS = (KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048, KeyKind.RSA3072)
CHAINS = (
    "root-issuing",
    "issuing-ocsp-responder",
    "issuing-short-lived",
    *(f"issuing-{one}" for one in PROFILES),
)
PARTITIONS = partition_names(4)
LISTS = (
    "list-root-first",
    "list-root-next",
    "list-first",
    "list-full",
    *(f"list-{one}" for one in PARTITIONS),
)
STATES = ("good", "revoked", "revoked-unspecified", "held", "unknown")
ANSWERS = tuple(
    f"answer-{state}-{word}{nonce}"
    for state in STATES
    for word in ("sha1", "sha256")
    for nonce in ("", "-nonce")
)
NAMES = (*PROFILES, "short-lived", *AUTHORITIES, *(one.value for one in KEYS), *CHAINS, *LISTS, *ANSWERS)
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


class Works:
    """Certificates, CRLs and OCSP responses of one authority, written to files, with the questions about each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: dict[str, tuple[tuple[str, ...], list[Path]]] = {}

    def add(self, name: str, command: tuple[str, ...], der: bytes) -> None:
        """Keep one for the judge."""
        path = self.folder / f"{name}.der"
        path.write_bytes(der)
        self.asked[name] = (command, [path])

    def add_chain(self, issuer: str, subject: str) -> None:
        """Have the judge look at two certificates together."""
        self.asked[f"{issuer}-{subject}"] = (
            CHAIN,
            [self.folder / f"{issuer}.der", self.folder / f"{subject}.der"],
        )

    def judge(self) -> dict[str, list[Finding]]:
        """Ask about all of them."""
        with ThreadPoolExecutor(max_workers=2) as threads:
            said = threads.map(lambda one: findings(*one), self.asked.values())
            return dict(zip(self.asked, said, strict=True))


def make_certificates(world: World, works: Works) -> None:
    """Authorities, and one certificate of each profile and of each kind of holder's key."""
    with world.work.read() as stores:
        for authority in stores.authorities.list():
            works.add(authority.kind.value, CERTIFICATE, authority.der)
    for profile, name in (("person", "alice"), ("device", "sensor-1"), ("service", "ledger")):
        works.add(profile, CERTIFICATE, world.issue(name).der)
    hosts = ("payments.corp.example", "enroll.corp.example")
    order = orders.place_order(world.services, world.gateway().id, "applications", hosts, world.csr())
    works.add("server", CERTIFICATE, orders.fill_order(world.services, order.id, actor="system").record.der)
    for kind in KEYS:
        request = build_csr(cached_key(kind, 1), "carol")
        issued = issuing.issue(world.services, request, world.claim("carol"))
        works.add(kind.value, CERTIFICATE, issued.record.der)
    short = replace(world.services, lifetimes={"device": timedelta(hours=1)})
    issued = issuing.issue(short, world.csr(), world.claim("sensor-1"))
    works.add("short-lived", CERTIFICATE, issued.record.der)
    for subject in (*PROFILES, "short-lived"):
        works.add_chain("issuing", subject)
    works.add_chain("issuing", "ocsp-responder")
    works.add_chain("root", "issuing")


def ask(world: World, leaf: x509.Certificate, word: str, *, nonce: bool, serial: int = 0) -> bytes:
    """What the responder says of a certificate, or of another serial number by its issuer."""
    with world.work.read() as stores:
        authority = stores.authorities.current(AuthorityKind.ISSUING)
    assert authority is not None
    issuer = x509.load_der_x509_certificate(authority.der)
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, HASHES[word])
    if serial:
        known = asked.build()
        by_hash = known.issuer_name_hash, known.issuer_key_hash, serial, HASHES[word]
        asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*by_hash)
    if nonce:
        asked = asked.add_extension(x509.OCSPNonce(b"0123456789abcdef" * 2), critical=False)
    der = answer_ocsp(world.services, asked.build().public_bytes(Encoding.DER))
    answer = ocsp.load_der_ocsp_response(der)
    assert answer.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert (len(list(answer.extensions)) == 1) is nonce
    assert (answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN) is bool(serial)
    return der


def make_next_root_list(world: World, works: Works) -> None:
    """The list that follows when half of the first one's time is over."""
    world.clock.turn(days=183)
    renewed = root_list.renew_root_list(world.services, actor="system")
    assert renewed is not None
    works.add("list-root-next", CRL, renewed.der)


def make_statuses(world: World, works: Works) -> None:
    """Lists without and with entries, the root's, and answers of every state in both forms."""
    with world.work.read() as stores:
        root = stores.authorities.current(AuthorityKind.ROOT)
        assert root is not None
        founded = stores.status.crl(root.id)
    assert founded is not None
    works.add("list-root-first", CRL, founded.der)
    works.add("list-first", CRL, crls.publish_crls(world.services)[""].der)
    held = {state: world.issue("bob") for state in STATES[:-1]}
    world.clock.turn(hours=1)
    for state, reason in (
        ("revoked", RevocationReason.KEY_COMPROMISE),
        ("revoked-unspecified", RevocationReason.UNSPECIFIED),
    ):
        revocation.revoke(world.services, held[state].record.id, reason, OPERATOR)
    revocation.hold(world.services, held["held"].record.id, OPERATOR)
    made = crls.publish_crls(world.services, ("", *PARTITIONS))
    works.add("list-full", CRL, made[""].der)
    for name in PARTITIONS:
        works.add(f"list-{name}", CRL, made[name].der)
    leaves = {state: x509.load_der_x509_certificate(one.der) for state, one in held.items()}
    for state, word in itertools.product(STATES, HASHES):
        leaf, serial = (leaves["good"], 1 << 126) if state == "unknown" else (leaves[state], 0)
        for nonce in (False, True):
            name = f"answer-{state}-{word}" + "-nonce" * nonce
            works.add(name, OCSP, ask(world, leaf, word, nonce=nonce, serial=serial))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What the judge says of everything."""
    world, works = found_world(), Works(tmp_path_factory.mktemp("pkilint"))
    make_certificates(world, works)
    make_statuses(world, works)
    make_next_root_list(world, works)
    return works.judge()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_that_is_not_allowed(said: dict[str, list[Finding]], name: str) -> None:
    """Every finding has a reason in the one list."""
    assert [one for one in said[name] if not one.allowed] == []


def test_everything_that_was_made_is_named(said: dict[str, list[Finding]]) -> None:
    """No certificate, list or answer was judged and not looked at."""
    assert set(said) == set(NAMES)


def test_every_allowed_finding_is_still_found(said: dict[str, list[Finding]]) -> None:
    """Each entry in the list of allowed findings is still found."""
    assert {one.code for found in said.values() for one in found} == set(ALLOWED)


def test_the_judge_sees_a_fault(tmp_path: Path) -> None:
    """A list without number and issuer's key identifier is found fault with, and a foreign scheme is not ours."""
    ca = toy_ca()
    (tmp_path / "bare.crl").write_bytes(crl_of(ca, number=None))
    assert not all(one.allowed for one in findings(CRL, [tmp_path / "bare.crl"]))
    (tmp_path / "odd.der").write_bytes(ca.leaf("alice", uris=("foreign://corp.example/x",)).der)
    assert "pkix.invalid_uri_syntax" in {
        one.code for one in findings(CERTIFICATE, [tmp_path / "odd.der"]) if not one.allowed
    }
