"""A root by ceremony: openssl signs the next issuing authority, and judges its CRL and the chain of a leaf."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.audit.events import EventType
from doorward.authority import founding
from doorward.authority.rollover import ceremony, leaving, moving, preparing, root_preparing
from doorward.authority.status import crls, root_crl
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory import principals as directory
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.records import AuthorityKind
from doorward.stores.roots import trusted_roots
from tests.support.refusals import refused
from tests.support.world import OPERATOR, STATUS_URL, TRUST_DOMAIN, empty_world

pytestmark = pytest.mark.needs("openssl")

PASSPHRASE = "correct horse battery"
BASIC = "basicConstraints = critical, CA:TRUE, pathlen:0"
USAGE = "keyUsage = critical, keyCertSign, cRLSign"
OWN_KEY = "subjectKeyIdentifier = hash"
ROOT_KEY = "authorityKeyIdentifier = keyid:always"
ADDRESSES = ("crlDistributionPoints", "authorityInfoAccess")
GOOD = (BASIC, USAGE, OWN_KEY, ROOT_KEY)


class Ceremony:
    """An authority with a root key that only openssl has, in a folder; the world's clock shows the machine's time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = empty_world()
        self.world.clock.turn(seconds=int((datetime.now(UTC) - self.world.clock.now()).total_seconds()) + 60)
        services = self.world.services
        founding.found(services, trust_domain=TRUST_DOMAIN, status_url=STATUS_URL, actor=OPERATOR)
        directory.add_principal(services, PrincipalKind.PERSON, "alice", actor=OPERATOR)
        crls.publish_crls(services)
        pem = founding.export_root(services, passphrase=PASSPHRASE.encode(), actor=OPERATOR)
        founding.remove_root_key(services, exported=pem, passphrase=PASSPHRASE.encode(), actor=OPERATOR)
        (folder / "exported.pem").write_bytes(pem)
        # Opened once: its 600,000 rounds take a good part of a second.
        self.openssl("pkey", "-in", "exported.pem", "-passin", f"pass:{PASSPHRASE}", "-out", "root-key.pem")
        with self.world.work.read() as stores:
            root = stores.authorities.current(AuthorityKind.ROOT)
        assert root is not None
        self.write("root.pem", root.der)

    def write(self, name: str, *ders: bytes) -> None:
        """Write certificates in PEM."""
        text = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)
        (self.folder / name).write_bytes(text)

    def request(self) -> RolloverRecord:
        """Request the certificate; write the request."""
        made = ceremony.request_certificate(self.world.services, actor=OPERATOR).value
        (self.folder / "issuing.csr").write_bytes(ceremony.render_request(made))
        return made

    def openssl(self, *words: str) -> str:
        """Run openssl in the folder; return what it says."""
        done = subprocess.run(
            ["openssl", *words], cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def sign(self, *extensions: str, days: int = 3000, csr: str = "issuing.csr", ca: str = "root") -> bytes:
        """Sign a request with openssl, with our addresses unless others are given; return the DER."""
        given = {one.partition(" ")[0] for one in extensions}
        ours = ceremony.openssl_extensions(self.world.services).splitlines()
        extensions += tuple(one for one in ours if one.startswith(ADDRESSES) and one.split()[0] not in given)
        extensions = tuple(one for one in extensions if not one.endswith("= none"))
        (self.folder / "issuing.ext").write_text("\n".join(extensions) + "\n", encoding="ascii")
        self.openssl(
            "x509", "-req", "-in", csr, "-CA", f"{ca}.pem", "-CAkey", f"{ca}-key.pem", "-extfile", "issuing.ext", "-sha256", "-days", str(days), "-out", "issuing.pem",
        )  # fmt: skip
        return x509.load_pem_x509_certificate((self.folder / "issuing.pem").read_bytes()).public_bytes(
            Encoding.DER
        )

    def install(self, der: bytes) -> RolloverRecord:
        """Install a certificate."""
        return ceremony.install(self.world.services, der, actor=OPERATOR).value


@pytest.fixture
def site(tmp_path: Path) -> Ceremony:
    """A ceremony that has begun."""
    made = Ceremony(tmp_path)
    made.request()
    return made


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    """The same, for tests that change nothing."""
    made = Ceremony(tmp_path_factory.mktemp("ceremony"))
    made.request()
    return made


def test_openssl_as_the_offline_root(site: Ceremony) -> None:
    """What openssl made with our extensions is installed; the rollover goes to its end without the root's key here."""
    world, services = site.world, site.world.services
    assert ceremony.request_certificate(services, actor=OPERATOR).notes  # again: the same request
    old = world.issue("alice")
    der = site.sign(*ceremony.openssl_extensions(services).splitlines())
    made = site.install(der)
    assert made.state is RolloverState.PREPARED
    assert ceremony.install(services, der, actor=OPERATOR).notes  # again: nothing happens
    moving.activate(services, actor=OPERATOR)
    leaf = world.issue("alice")
    with world.work.read() as stores:
        crl = stores.status.crl(made.new_id)
    assert crl is not None
    site.write("leaf.pem", leaf.der)
    site.write("chain.pem", *leaf.chain_der[1:])
    (site.folder / "new.crl").write_bytes(x509.load_der_x509_crl(crl.der).public_bytes(Encoding.PEM))
    later = str(int(world.clock.now().timestamp()) + 60)
    checks = ("-attime", later, "-crl_check", "-CRLfile", "new.crl", "-x509_strict", "-purpose", "sslclient")
    site.openssl("verify", "-CAfile", "root.pem", "-untrusted", "chain.pem", *checks, "leaf.pem")
    moving.drain(services, actor=OPERATOR, window=timedelta(0))
    leaving.retire(services, actor=OPERATOR, abandon_missing=True)
    done = leaving.finish_leaving(services, actor=OPERATOR)
    assert done is not None
    assert done.state is RolloverState.RETIRED
    with world.work.read() as stores:
        last = stores.status.crl(made.old_id)
    assert last is not None
    (site.folder / "last.crl").write_bytes(x509.load_der_x509_crl(last.der).public_bytes(Encoding.PEM))
    assert f"{old.record.serial:X}" in site.openssl("crl", "-in", "last.crl", "-noout", "-text")
    kinds = [event.type for event in world.work.events]
    assert EventType.AUTHORITY_ROLLOVER_REQUESTED in kinds
    # A stolen key of the old authority helps no more: openssl refuses its certificate by the root's list, not the new one.
    exported = (site.folder / "exported.pem").read_bytes()
    root_list = root_crl.renew_exported_root_list(
        services, exported=exported, passphrase=PASSPHRASE.encode(), actor=OPERATOR
    )
    (site.folder / "root.crl").write_bytes(x509.load_der_x509_crl(root_list.der).public_bytes(Encoding.PEM))
    site.write("old.pem", *old.chain_der[1:])
    by_root = ("verify", "-attime", later, "-crl_check", "-CRLfile", "root.crl", "-CAfile", "root.pem")
    site.openssl(*by_root, "chain.pem")
    with pytest.raises(AssertionError, match="certificate revoked"):
        site.openssl(*by_root, "old.pem")


@pytest.mark.parametrize(
    ("extensions", "days", "why"),
    [
        ((USAGE, OWN_KEY, ROOT_KEY), 3000, "is missing"),
        ((BASIC.replace("TRUE, pathlen:0", "FALSE"), USAGE, OWN_KEY, ROOT_KEY), 3000, "the CA bit"),
        ((BASIC.replace(":0", ":1"), USAGE, OWN_KEY, ROOT_KEY), 3000, "path length"),
        ((BASIC.replace(", pathlen:0", ""), USAGE, OWN_KEY, ROOT_KEY), 3000, "path length"),
        ((BASIC.replace("critical, ", ""), USAGE, OWN_KEY, ROOT_KEY), 3000, "criticality"),
        ((BASIC, "keyUsage = critical, keyCertSign", OWN_KEY, ROOT_KEY), 3000, "key usage"),
        ((BASIC, f"{USAGE}, digitalSignature", OWN_KEY, ROOT_KEY), 3000, "key usage"),
        ((*GOOD, "extendedKeyUsage = clientAuth"), 3000, "does not belong here"),
        ((*GOOD, "nameConstraints = critical, permitted;DNS:example.com"), 3000, "does not belong here"),
        ((*GOOD, "subjectAltName = DNS:corp.example"), 3000, "does not belong here"),
        ((*GOOD, "crlDistributionPoints = none"), 3000, "its CRL address is missing"),
        (
            (*GOOD, "crlDistributionPoints = URI:http://old.example/root.crl"),
            3000,
            "the root's list is published at",
        ),
        (
            (*GOOD, "authorityInfoAccess = caIssuers;URI:http://old.example/"),
            3000,
            "the root is published at",
        ),
        (GOOD, 3655, "within the issuer's"),
        (GOOD, 10, "would end"),
    ],
)
def test_another_content_is_refused(
    waiting: Ceremony, extensions: tuple[str, ...], days: int, why: str
) -> None:
    """Each departure from an issuing authority's certificate is named, and nothing is changed."""
    head = waiting.world.head()
    with pytest.raises(RequestRefused) as raised:
        waiting.install(waiting.sign(*extensions, days=days))
    assert raised.value.code in ("authority-refused", "root-ends-soon")
    assert why in raised.value.detail
    assert waiting.world.head() == head
    with waiting.world.work.read() as stores:
        found = stores.rollovers.open()
        issuing = [one for one in stores.authorities.list() if one.kind is AuthorityKind.ISSUING]
    assert found is not None
    assert found.state is RolloverState.REQUESTED
    assert len(issuing) == 1


def test_another_key_name_or_root_is_refused(site: Ceremony) -> None:
    """The key must be the pending one, the name that of the request, and the signature that of our root."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    name = "/CN=corp.example Issuing 2"
    site.openssl("req", *new, "-keyout", "other.key", "-subj", name, "-out", "other.csr")
    with refused(RequestRefused, "authority-refused") as told:
        site.install(site.sign(*GOOD, csr="other.csr"))
    assert "another key" in told.value.detail
    site.openssl("req", "-x509", *new, "-keyout", "fake-key.pem", "-subj", "/CN=corp.example Root 1",
                 "-days", "3600", "-out", "fake.pem")  # fmt: skip
    with refused(RequestRefused, "authority-refused") as told:
        site.install(site.sign(*GOOD, ca="fake"))
    assert "has not signed it" in told.value.detail
    (site.folder / "issuing.ext").write_text(
        ceremony.openssl_extensions(site.world.services), encoding="ascii"
    )
    site.openssl("x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root-key.pem", "-extfile", "issuing.ext", "-days", "3000", "-out", "issuing.pem",
                 "-set_serial", "0x7fffffffffffffff1234")  # fmt: skip
    good = x509.load_pem_x509_certificate((site.folder / "issuing.pem").read_bytes())
    assert site.install(good.public_bytes(Encoding.DER)).state is RolloverState.PREPARED


def test_other_addresses_are_accepted_by_a_word(site: Ceremony) -> None:
    """A root that publishes its list elsewhere: only with the word, and the answer names the addresses."""
    der = site.sign(
        *GOOD, "crlDistributionPoints = URI:http://root.example/root.crl", "authorityInfoAccess = none"
    )
    with refused(RequestRefused, "authority-refused") as told:
        site.install(der)
    assert "--accept-addresses" in told.value.hint
    done = ceremony.install(site.world.services, der, actor=OPERATOR, accept_addresses=True)
    assert done.value.state is RolloverState.PREPARED
    assert "http://root.example/root.crl" in done.notes[0]


def test_rubbish_and_a_wrong_moment(site: Ceremony) -> None:
    """What is no certificate is malformed; without a request, or after it was given up, nothing is installed."""
    for rubbish in (b"", b"rubbish", b"0" * 20_000):
        with pytest.raises(MalformedInput):
            site.install(rubbish)
    good = site.sign(*GOOD)
    with refused(RequestRefused, "rollover-step-refused"):
        preparing.prepare(site.world.services, actor=OPERATOR, exported=b"x", passphrase=b"x")
    kept = site.world.keys.load("issuing-2")
    site.world.keys.remove("issuing-2")
    with refused(RequestRefused, "rollover-key-missing"):
        site.install(good)
    site.world.keys.store("issuing-2", kept)
    moving.undo(site.world.services, actor=OPERATOR)
    done = leaving.finish_leaving(site.world.services, actor=OPERATOR)
    assert done is not None
    assert done.state is RolloverState.WITHDRAWN
    assert "issuing-2" not in site.world.keys.names()
    with refused(NotFound, "rollover-none"):
        site.install(good)


def test_openssl_with_only_the_old_root_verifies_what_is_below_the_new_one(tmp_path: Path) -> None:
    """With NewWithOld and the lists of every authority of the path, also by the strict rules; without NewWithOld it refuses."""
    site = Ceremony(tmp_path)
    world, services = site.world, site.world.services
    exported = (site.folder / "exported.pem").read_bytes()
    root_preparing.prepare_root(services, actor=OPERATOR, exported=exported, passphrase=PASSPHRASE.encode())
    made = moving.activate(services, actor=OPERATOR).value
    leaf = world.issue("alice")
    site.write("leaf.pem", leaf.der)
    site.write("chain.pem", *leaf.chain_der[1:])
    site.write("short.pem", *leaf.chain_der[1:2])
    with world.work.read() as stores:
        lists = [
            stores.status.crl(made.new_id),
            *(stores.status.crl(one.id) for one in trusted_roots(stores)),
        ]
    pem = b"".join(x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM) for one in lists if one)
    (site.folder / "every.crl").write_bytes(pem)
    later = str(int(world.clock.now().timestamp()) + 60)
    checks = (
        "-attime",
        later,
        "-crl_check_all",
        "-CRLfile",
        "every.crl",
        "-x509_strict",
        "-purpose",
        "sslclient",
    )
    site.openssl("verify", "-CAfile", "root.pem", "-untrusted", "chain.pem", *checks, "leaf.pem")
    with pytest.raises(AssertionError, match="unable to get"):
        site.openssl("verify", "-CAfile", "root.pem", "-untrusted", "short.pem", *checks, "leaf.pem")
