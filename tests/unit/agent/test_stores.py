"""Stores of systems, with stand-ins for the commands of macOS and Windows; NSS is met in tests/integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs12

from doorward.agent.keeper import Keeper
from doorward.agent.options import Finished, IdentityOptions
from tests.support.ports import FakeClock
from tests.support.renewal_server import RenewalServer, pair_of


class Keychain:
    """`security` of macOS, as far as the agent uses it: its certificates by SHA-1."""

    def __init__(self) -> None:
        self.held: dict[str, x509.Certificate] = {}
        self.fails = ""
        self.log: list[str] = []

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
        """Do what the command does."""
        program, verb, *rest = command
        assert program == "security"
        self.log.append(verb)
        if verb == self.fails:
            return Finished(status=1, output="security: no")
        if verb == "import":
            file, form, kind, option, password = rest
            assert (form, kind, option) == ("-f", "pkcs12", "-P")
            self.held |= import_p12(file, password)
        elif verb == "delete-identity":
            del self.held[rest[1].lower()]
        else:
            assert (verb, rest) == ("find-certificate", ["-a", "-Z"])
        return Finished(status=0, output="".join(f"SHA-1 hash: {one.upper()}\n" for one in self.held))


class WindowsStore(Keychain):
    """`certutil.exe` of Windows, as far as the agent uses it."""

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
        """Do what the command does."""
        match list(command):
            case ["certutil.exe", "-f", "-user", "-p", password, "-importPFX", "My", file, "NoExport,NoRoot"]:
                self.log.append("import")
                if self.fails == "import":
                    return Finished(status=-2146885621, output="CertUtil: no")
                self.held |= import_p12(file, password)
                return Finished(status=0)
            case ["certutil.exe", "-user", "-store", "My", wanted]:
                return Finished(status=0 if wanted in self.held else 1)
            case ["certutil.exe", "-user", "-delstore", "My", wanted]:
                self.log.append("delete-identity")
                del self.held[wanted]
                return Finished(status=0)
            case other:
                raise AssertionError(other)


def import_p12(file: str, password: str) -> dict[str, x509.Certificate]:
    """Open a PKCS#12 file as an importer does."""
    found = pkcs12.load_pkcs12(Path(file).read_bytes(), password.encode())
    assert found.cert is not None
    assert found.key is not None
    assert Path(file).stat().st_mode & 0o077 == 0
    certificate = found.cert.certificate
    return {certificate.fingerprint(hashes.SHA1()).hex(): certificate}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RenewalServer:
    """A host, at noon."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    return RenewalServer(FakeClock())


def keeper_of(server: RenewalServer, folder: Path, run: object, **options: object) -> Keeper:
    """Return an agent with these stores."""
    machine = replace(server.machine(), run=run)  # type: ignore[arg-type]
    return Keeper(IdentityOptions(directory=folder, **options), machine)  # type: ignore[arg-type]


@pytest.mark.parametrize(("store", "option"), [(Keychain(), "keychain"), (WindowsStore(), "windows_store")])
def test_a_system_store_has_the_new_certificate_and_not_the_old(
    server: RenewalServer, tmp_path: Path, store: Keychain, option: str
) -> None:
    """The agent's start imports; each renewal imports first, and then removes exactly the old one."""
    folder = server.enrolled(tmp_path / "id")
    keeper = keeper_of(server, folder, store.run, **{option: True})
    keeper.step(server.clock.now())
    assert [one.serial_number for one in store.held.values()] == [pair_of(folder)[1]]
    keeper.step(server.clock.now())
    assert store.log.count("import") == 1
    other = server.issuing.leaf("someone-else").certificate
    store.held["ab" * 20] = other
    keeper.renew_now(server.clock.now())
    assert {one.serial_number for one in store.held.values()} == {pair_of(folder)[1], other.serial_number}
    assert not list(folder.glob(".import-*"))


@pytest.mark.parametrize(("store", "option"), [(Keychain(), "keychain"), (WindowsStore(), "windows_store")])
def test_a_store_that_refuses_keeps_the_old_certificate_until_it_takes_the_new(
    server: RenewalServer, tmp_path: Path, store: Keychain, option: str
) -> None:
    """Nothing is removed before the new one is there; the agent tries again, and then both steps are made."""
    folder = server.enrolled(tmp_path / "id")
    keeper = keeper_of(server, folder, store.run, **{option: True})
    keeper.step(server.clock.now())
    old = pair_of(folder)[1]
    store.fails = "import"
    problems = keeper.renew_now(server.clock.now()).problems
    assert "did not take the new certificate" in next(iter(problems.values()))
    assert [one.serial_number for one in store.held.values()] == [old]
    store.fails = ""
    server.clock.turn(minutes=5)
    keeper.step(server.clock.now())
    assert [one.serial_number for one in store.held.values()] == [pair_of(folder)[1]]


def test_what_a_killed_import_left_is_removed(server: RenewalServer, tmp_path: Path) -> None:
    """The next start removes the key and its password; a link is not followed."""
    folder = server.enrolled(tmp_path / "id")
    left = folder / ".import-abc"
    left.mkdir()
    (left / "new.p12").write_bytes(b"key")
    kept = tmp_path / "kept"
    kept.mkdir()
    (folder / ".import-link").symlink_to(kept)
    keeper_of(server, folder, server.run).step(server.clock.now())
    assert not left.exists()
    assert kept.exists()
