"""The agent and a real NSS database, as Firefox and Chromium on Linux have one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from doorward.agent.commands import run_command
from doorward.agent.keeper import Keeper
from doorward.agent.options import IdentityOptions
from doorward.core.ports import KeyKind
from tests.support.commands import run_program
from tests.support.ports import FakeClock
from tests.support.renewal_server import RenewalServer, pair_of

pytestmark = pytest.mark.needs("certutil", "pk12util")


@pytest.fixture
def server() -> RenewalServer:
    """A host, at noon."""
    return RenewalServer(FakeClock())


def keeper_of(server: RenewalServer, folder: Path, database: Path) -> Keeper:
    """Return an agent that keeps a database, with the real commands."""
    machine = replace(server.machine(), run=run_command)
    return Keeper(IdentityOptions(directory=folder, nss=(database,)), machine)


class Nss:
    """A real NSS database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.run("certutil", "-N", "--empty-password")

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs."""
        return run_program([program, "-d", f"sql:{self.folder}", *arguments], check=True, timeout=60).stdout

    def certificates(self, nickname: str) -> set[int]:
        """Return the serial numbers of the certificates of a nickname."""
        pem = self.run("certutil", "-L", "-n", nickname, "-a").encode()
        return {one.serial_number for one in x509.load_pem_x509_certificates(pem)}

    def keys(self) -> int:
        """Return how many private keys it has."""
        return sum(line.startswith("<") for line in self.run("certutil", "-K").splitlines())


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.RSA2048])
def test_firefoxs_database_has_the_new_certificate_and_not_the_old(
    server: RenewalServer, tmp_path: Path, kind: KeyKind
) -> None:
    """One certificate with its key is there after the start and after each renewal; another person's stays."""
    database = Nss(tmp_path / "nss")
    other = server.enrolled(tmp_path / "other", "bob", kind=kind)
    keeper_of(server, other, database.folder).step(server.clock.now())
    folder = server.enrolled(tmp_path / "id", kind=kind)
    keeper = keeper_of(server, folder, database.folder)
    keeper.step(server.clock.now())
    assert database.certificates("alice") == {pair_of(folder)[1]}
    for _ in range(2 if kind is KeyKind.P256 else 1):
        assert keeper.renew_now(server.clock.now()).problems == {}
        assert database.certificates("alice") == {pair_of(folder)[1]}
        assert database.keys() == 2
    assert database.certificates("bob") == {pair_of(other)[1]}


def test_a_folder_without_a_database_is_told(server: RenewalServer, tmp_path: Path) -> None:
    """The message names the store and what its program said; the certificate is renewed all the same."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    keeper = keeper_of(server, folder, tmp_path / "nothing")
    problems = keeper.renew_now(server.clock.now()).problems
    assert f"NSS {tmp_path / 'nothing'} did not take" in problems[f"NSS {tmp_path / 'nothing'}"]
    assert pair_of(folder) != before
