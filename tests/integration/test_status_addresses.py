"""The addresses in a certificate suffice: curl fetches from all of them at `doorward serve`, and openssl accepts the results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from doorward.authority import revocation
from doorward.authority.issuing import Issued, issue
from doorward.authority.status.published_objects import find_faults
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.runtime.compose import Installation
from doorward.runtime.serve import Serve
from doorward.runtime.world import SoftwareKeys
from doorward.web.status import root_pem
from tests.support.commands import run_program
from tests.support.doorway import eventually, founded
from tests.support.world import operator_claim

pytestmark = pytest.mark.needs("openssl", "curl", "bash")
ACTOR = "os:0"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "let-others-check-revocation.md"
TRUST = ("-no-CApath", "-no-CAstore", "-CAfile", "root.pem")


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running `doorward serve`, a certificate of alice's in a file, and the root that a relying party has."""

    installation: Installation
    held: Issued
    folder: Path
    divided: bool
    deltas: bool

    def run(self, *command: str, code: int = 0) -> str:
        """Run a program in the folder and return what it says."""
        done = run_program(command, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def fetch(self, url: str, name: str) -> None:
        """Have curl fetch an address, and turn its DER into PEM."""
        self.run("curl", "-fsS", url, "-o", f"{name}.der")
        kind = "crl" if name.endswith("list") else "x509"
        self.run("openssl", kind, "-inform", "DER", "-in", f"{name}.der", "-out", f"{name}.pem")

    def address(self, method: x509.ObjectIdentifier, name: str = "leaf") -> str:
        """The one address of that method in a certificate's authority information access."""
        access = self.load(name).extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        (found,) = [one.access_location.value for one in access if one.access_method == method]
        return str(found)

    def list_address(self, name: str = "leaf") -> str:
        """The address of the list that a certificate names."""
        (point,) = self.load(name).extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert point.full_name is not None
        return str(point.full_name[0].value)

    def ask(self, digest: str, nonce: str) -> str:
        """The answer for the leaf by openssl's OCSP client, from the address in the leaf; its signature must verify."""
        url = self.address(AuthorityInformationAccessOID.OCSP)
        which = ("-issuer", "issuing.pem", digest, "-cert", "leaf.pem", nonce)
        said = self.run("openssl", "ocsp", *TRUST, *which, "-url", url)
        assert "Response verify OK" in said
        assert "WARNING" not in said  # it would warn of a nonce that did not come back
        return said

    def load(self, name: str) -> x509.Certificate:
        """A certificate of the folder."""
        return x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes())


@pytest.fixture(params=[(1, False), (4, False)], ids=["full", "divided"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Serve a new installation with a whole list, or with a list divided into four; if a test asks for it, with deltas."""
    partitions, deltas = request.param
    with founded(quick=True, crl_partitions=partitions, crl_deltas=deltas) as made:
        serve = Serve(made)
        serve.start()
        try:
            assert eventually(lambda: not find_faults(made.services, made.services.clock.now()))
            alice = add_principal(made.services, PrincipalKind.PERSON, "alice", actor=ACTOR).value
            csr = build_csr(SoftwareKeys().generate(KeyKind.P256), "alice")
            held = issue(made.services, csr, operator_claim(alice, ACTOR))
            leaf = x509.load_der_x509_certificate(held.record.der)
            (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
            (tmp_path / "root.pem").write_bytes(root_pem(made.services))
            yield Site(installation=made, held=held, folder=tmp_path, divided=partitions > 1, deltas=deltas)
        finally:
            serve.stop()


def test_the_addresses_in_a_certificate_are_all_that_a_relying_party_needs(site: Site) -> None:
    """Issuer by AIA, list by CDP, OCSP by AIA: openssl accepts the chain by either, until it is revoked."""
    site.fetch(site.address(AuthorityInformationAccessOID.CA_ISSUERS), "issuing")
    site.fetch(site.address(AuthorityInformationAccessOID.CA_ISSUERS, "issuing"), "root-fetched")
    assert site.load("root-fetched") == site.load("root")
    assert site.list_address().endswith("-of-4.crl") is site.divided
    verify = ("openssl", "verify", "-x509_strict", *TRUST, "-untrusted", "issuing.pem", "-crl_check")

    site.fetch(site.list_address(), "list")
    assert "leaf.pem: OK" in site.run(*verify, "-CRLfile", "list.pem", "leaf.pem")
    assert "leaf.pem: OK" in site.run(*verify, "-crl_download", "leaf.pem")
    for digest in ("-sha1", "-sha256"):
        assert "leaf.pem: good" in site.ask(digest, "-nonce")
        assert "leaf.pem: good" in site.ask(digest, "-no_nonce")

    services = site.installation.services
    revocation.revoke(services, site.held.record.id, RevocationReason.KEY_COMPROMISE, ACTOR)
    assert "leaf.pem: revoked" in site.ask("-sha1", "-nonce")
    assert "leaf.pem: revoked" in site.ask("-sha256", "-no_nonce")

    def is_listed() -> bool:
        site.fetch(site.list_address(), "list")
        crl = x509.load_pem_x509_crl((site.folder / "list.pem").read_bytes())
        return crl.get_revoked_certificate_by_serial_number(site.held.record.serial) is not None

    assert eventually(is_listed, seconds=30)  # at most ten seconds after the list before
    assert "certificate revoked" in site.run(*verify, "-CRLfile", "list.pem", "leaf.pem", code=2)
    assert "certificate revoked" in site.run(*verify, "-crl_download", "leaf.pem", code=2)


@pytest.mark.parametrize(
    "site", [(1, False), (4, False), (4, True)], indirect=True, ids=["full", "divided", "deltas"]
)
def test_the_how_to_can_be_followed(site: Site) -> None:
    """The commands of docs/how-to/let-others-check-revocation.md end with chains and an answer that are good."""
    (site.folder / "alice.pem").write_bytes((site.folder / "leaf.pem").read_bytes())
    commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    said = site.run("bash", "-euo", "pipefail", "-c", "\n".join(commands))
    assert said.count("alice.pem: OK") == 2 + site.deltas
    for line in ("Response verify OK", "alice.pem: good"):
        assert line in said


def test_the_status_of_every_certificate_of_the_path_is_found(site: Site) -> None:
    """With nothing but the addresses openssl accepts leaf and issuer as not revoked; without the root's list it does not."""
    site.fetch(site.address(AuthorityInformationAccessOID.CA_ISSUERS), "issuing")
    site.fetch(site.list_address(), "list")
    site.fetch(site.list_address("issuing"), "root-list")
    verify = ("openssl", "verify", "-x509_strict", *TRUST, "-untrusted", "issuing.pem", "-crl_check_all")
    lists = ("-CRLfile", "list.pem", "-CRLfile", "root-list.pem")
    assert "leaf.pem: OK" in site.run(*verify, *lists, "leaf.pem")
    assert "unable to get certificate CRL" in site.run(*verify, *lists[:2], "leaf.pem", code=2)


@pytest.mark.parametrize("site", [(4, False)], indirect=True, ids=["divided"])
def test_another_partitions_list_does_not_pass(site: Site) -> None:
    """Openssl refuses the list of another partition for a certificate that names its own."""
    site.fetch(site.address(AuthorityInformationAccessOID.CA_ISSUERS), "issuing")
    own = int(site.list_address().rpartition("/")[2].partition("-")[0])
    site.fetch(site.list_address().replace(f"/{own}-of-4", f"/{own % 4 + 1}-of-4"), "list")
    files = ("-untrusted", "issuing.pem", "-CRLfile", "list.pem", "leaf.pem")
    said = site.run("openssl", "verify", *TRUST, "-crl_check", *files, code=2)
    assert "different CRL scope" in said


@pytest.mark.parametrize("site", [(1, True), (4, True)], indirect=True, ids=["full", "divided"])
def test_a_delta_alone_brings_revocation_and_release(site: Site) -> None:
    """The list is fetched once and names its delta; openssl follows a hold and its release by new deltas."""
    site.fetch(site.address(AuthorityInformationAccessOID.CA_ISSUERS), "issuing")
    site.fetch(site.list_address(), "list")
    verify = ("openssl", "verify", "-x509_strict", *TRUST, "-untrusted", "issuing.pem", "-crl_check")
    lists = ("-use_deltas", "-CRLfile", "list.pem", "-CRLfile", "delta-list.pem", "leaf.pem")
    complete = x509.load_pem_x509_crl((site.folder / "list.pem").read_bytes())
    (point,) = complete.extensions.get_extension_for_class(x509.FreshestCRL).value
    assert point.full_name is not None
    address = str(point.full_name[0].value)

    def reason() -> x509.ReasonFlags | None:
        site.fetch(address, "delta-list")
        delta = x509.load_pem_x509_crl((site.folder / "delta-list.pem").read_bytes())
        found = delta.get_revoked_certificate_by_serial_number(site.held.record.serial)
        return found and found.extensions.get_extension_for_class(x509.CRLReason).value.reason

    services = site.installation.services
    assert reason() is None
    assert "leaf.pem: OK" in site.run(*verify, *lists)
    revocation.hold(services, site.held.record.id, ACTOR)
    assert eventually(lambda: reason() is x509.ReasonFlags.certificate_hold, seconds=100)
    assert "certificate revoked" in site.run(*verify, *lists, code=2)
    revocation.release(services, site.held.record.id, ACTOR)
    assert eventually(lambda: reason() is x509.ReasonFlags.remove_from_crl, seconds=100)
    assert "leaf.pem: OK" in site.run(*verify, *lists)
    fetched = (site.folder / "list.der").read_bytes()
    site.fetch(site.list_address(), "list")
    assert (site.folder / "list.der").read_bytes() == fetched  # it was not made again
    assert not find_faults(services, services.clock.now())
