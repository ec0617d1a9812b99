"""A renewal of an identity's folder: each step may be the last one, and the files keep matching."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from doorward.agent.client import CHAIN_TYPE
from doorward.agent.generations import IdentityGenerations
from doorward.agent.keeper import Keeper
from doorward.agent.options import IdentityOptions
from doorward.agent.renewing import choose_kind
from doorward.agent.store import IdentityFolder
from doorward.agent.transport import Response
from doorward.core.errors import ConfigurationError, IntegrityError, RequestRefused
from doorward.core.ports import KeyKind
from tests.support.killing import dying
from tests.support.ports import FakeClock, PlainKeys
from tests.support.refusals import code_of, refused
from tests.support.renewal_server import RenewalServer, die_and_go_on, pair_of, problem

FILES = {"key.pem", "certificate.pem", "chain.pem", "root.pem"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> RenewalServer:
    """A host, at noon; without the syncs of a real disk."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    return RenewalServer(FakeClock())


def renew(server: RenewalServer, folder: Path, **options: object) -> object:
    """Renew now."""
    keeper = Keeper(IdentityOptions(directory=folder, **options), server.machine())  # type: ignore[arg-type]
    return keeper.renew_now(server.clock.now())


def test_the_files_keep_their_paths_and_get_a_new_key(server: RenewalServer, tmp_path: Path) -> None:
    """Every path is there before and after; the key is another one; of the old key nothing is left."""
    folder = server.enrolled(tmp_path / "id")
    old_key, old_serial = pair_of(folder)
    for _ in range(3):
        renew(server, folder)
        key, serial = pair_of(folder)
        assert key != old_key
        assert serial != old_serial
        old_key, old_serial = key, serial
    assert all((folder / name).is_symlink() for name in FILES)
    assert len(list((folder / "generations").iterdir())) == 1
    assert not (folder / ".renewing").exists()


@pytest.mark.parametrize("links", [False, True])
def test_a_renewal_that_dies_leaves_a_pair_and_goes_on(
    server: RenewalServer, tmp_path: Path, *, links: bool
) -> None:
    """At every fifth change of the folder (all of them in tests/prove): the pair matches, and the next run ends it."""
    origin = server.enrolled(tmp_path / "origin")
    if links:
        renew(server, origin)
    steps = 0
    while die_and_go_on(server, origin, tmp_path / "id", at=5 * steps + 1):
        steps += 1
    assert steps > 5


def test_a_lost_answer_is_no_lost_renewal(server: RenewalServer, tmp_path: Path) -> None:
    """The next run asks for the same key, and gets the certificate that was issued."""
    folder = server.enrolled(tmp_path / "id")
    server.lose_answers = 1
    assert code_of(renew, server, folder) == "server-unreachable"
    issued = len(server.issued)
    renew(server, folder)
    assert len(server.issued) == issued
    pair_of(folder)


def test_a_full_disk_leaves_the_old_pair(server: RenewalServer, tmp_path: Path) -> None:
    """Wherever it becomes full, the old files are whole, and an error says so."""
    origin = server.enrolled(tmp_path / "origin")
    for at in range(1, 100, 4):
        folder = tmp_path / "id"
        shutil.copytree(origin, folder, symlinks=True)
        before = pair_of(folder)
        error = None
        with dying(folder, at, OSError(errno.ENOSPC, "No space left on device")) as death:
            try:
                renew(server, folder)
            except ConfigurationError as caught:
                error = caught
        if not death.happened:
            break
        assert error is None or error.code in ("folder-unusable", "links-unsupported")
        assert pair_of(folder)[1] in (
            before[1],
            max(one.certificate.serial_number for one in server.issued.values()),
        )
        shutil.rmtree(folder)
    assert at > 10


def test_a_stale_nonce_is_fetched_again_once(server: RenewalServer, tmp_path: Path) -> None:
    """One stale nonce costs a second request; a host that never takes one is told as it says."""
    folder = server.enrolled(tmp_path / "id")
    server.stale_nonces = 1
    renew(server, folder)
    server.stale_nonces = 2
    assert code_of(renew, server, folder) == "nonce-stale"


def test_a_key_that_was_used_before_is_replaced(server: RenewalServer, tmp_path: Path) -> None:
    """The refused key is thrown away, and the next run makes another one."""
    folder = server.enrolled(tmp_path / "id")
    server.refusal = problem(403, "key-used-before")
    assert code_of(renew, server, folder) == "key-used-before"
    assert not (folder / ".renewing").exists()
    server.refusal = None
    renew(server, folder)


def test_a_new_certificate_that_the_server_does_not_know_is_not_used(
    server: RenewalServer, tmp_path: Path
) -> None:
    """The new pair is tried by a report before the switch."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    server.refused_paths = ("/renew/report",)
    server.refusal = problem(403, "proof-invalid")
    assert code_of(renew, server, folder) == "proof-invalid"
    assert pair_of(folder) == before


def test_without_time_for_a_trial_the_new_certificate_is_used(server: RenewalServer, tmp_path: Path) -> None:
    """If the report cannot be made, the old certificate stays in use, except in the last tenth of its life."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)
    server.refused_paths = ("/renew/report",)
    server.refusal = problem(503, "busy")
    assert code_of(renew, server, folder) == "busy"
    assert pair_of(folder) == before
    server.clock.turn(days=82)
    outcome = renew(server, folder)
    assert not outcome.tried  # type: ignore[attr-defined]
    assert pair_of(folder) != before


def test_an_answer_for_another_key_is_refused(server: RenewalServer, tmp_path: Path) -> None:
    """A certificate for another key is not stored; the request key is kept, because the server may have certified it."""
    folder = server.enrolled(tmp_path / "id")
    other = server.issue(PlainKeys().generate(KeyKind.P256).public_key())
    server.refused_paths = ("/renew",)
    server.refusal = Response(status=201, media_type=CHAIN_TYPE, body=other.pem + server.issuing.pem)
    assert code_of(renew, server, folder) == "certificate-of-another-key"
    assert not (folder / ".renewing" / "chain.pem").exists()
    key = (folder / ".renewing" / "key.pem").read_bytes()
    server.refusal = None
    renew(server, folder)
    assert (folder / "key.pem").read_bytes() == key


def test_access_is_kept(server: RenewalServer, tmp_path: Path) -> None:
    """Owner, group and mode of each file are those that an administrator gave it; nothing is wider on the way."""
    folder = server.enrolled(tmp_path / "id")
    os.chmod(folder / "key.pem", 0o640)  # noqa: PTH101
    os.chmod(folder / "certificate.pem", 0o600)  # noqa: PTH101
    folder.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(folder / "key.pem", 12, 34)
    for _ in range(2):
        renew(server, folder)
        assert (folder / "key.pem").stat().st_mode & 0o777 == 0o640
        assert (folder / "certificate.pem").stat().st_mode & 0o777 == 0o600
        assert (folder / "current").stat().st_mode & 0o777 == 0o750
        if os.geteuid() == 0:
            assert ((folder / "key.pem").stat().st_uid, (folder / "key.pem").stat().st_gid) == (12, 34)


def test_a_p12_file_is_renewed_with_its_password_or_removed(server: RenewalServer, tmp_path: Path) -> None:
    """A .p12 file with the old key does not stay; with a password file it holds the new key."""
    folder = server.enrolled(tmp_path / "id")
    outcome = renew(server, folder)
    assert outcome.left_out == ("alice.p12",)  # type: ignore[attr-defined]
    assert not os.path.lexists(folder / "alice.p12")
    password = tmp_path / "password"
    password.write_text("secret words\n")
    password.chmod(0o600)
    renew(server, folder, p12_password_file=password)
    held = pkcs12.load_pkcs12((folder / "alice.p12").read_bytes(), b"secret words")
    assert held.cert is not None
    assert held.cert.certificate.serial_number == pair_of(folder)[1]
    password.chmod(0o644)
    assert code_of(renew, server, folder, p12_password_file=password) == "password-file-unusable"


@pytest.mark.parametrize("kind", [KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048])
def test_the_new_key_has_the_kind_of_the_old_one(
    server: RenewalServer, tmp_path: Path, kind: KeyKind
) -> None:
    """Programs of this machine can use it."""
    folder = server.enrolled(tmp_path / "id", kind=kind)
    renew(server, folder)
    assert choose_kind(IdentityGenerations(folder).load()) is kind


def test_what_another_tool_installed_is_what_counts(server: RenewalServer, tmp_path: Path) -> None:
    """Files put over the links become the identity; an old pair is never written over them."""
    folder = server.enrolled(tmp_path / "id")
    renew(server, folder)
    other = server.enrolled(tmp_path / "other")
    for name in FILES:
        (folder / name).unlink()
        shutil.copy(other / name, folder / name)
    installed = pair_of(folder)
    IdentityGenerations(folder).adopt()
    assert pair_of(folder) == installed
    renew(server, folder)
    assert pair_of(folder) != installed


def test_a_folder_with_another_tools_half_is_refused(server: RenewalServer, tmp_path: Path) -> None:
    """If key and certificate do not match, nothing is renewed, and the message says it."""
    folder = server.enrolled(tmp_path / "id")
    shutil.copy(server.enrolled(tmp_path / "other") / "key.pem", folder / "key.pem")
    with refused(IntegrityError, "pair-mismatched"):
        renew(server, folder)
    assert server.asked == []


def test_enrolling_again_moves_a_renewed_identity_aside(server: RenewalServer, tmp_path: Path) -> None:
    """The old pair is whole in previous-1, and the new files are at the paths."""
    folder = server.enrolled(tmp_path / "id")
    renew(server, folder)
    old = pair_of(folder)
    identity = IdentityFolder(folder)
    key = identity.begin(lambda: PlainKeys().generate(KeyKind.P256), force=True)
    leaf = server.issue(key.public_key())
    identity.finish(
        {"root.pem": server.root.pem, "chain.pem": leaf.pem + server.issuing.pem, "certificate.pem": leaf.pem}
    )
    assert pair_of(folder / "previous-1") == old
    assert pair_of(folder) != old
    (folder / "server").write_text("https://enroll.corp.example")
    renew(server, folder)


def test_a_folder_without_an_identity_or_a_server_says_what_is_missing(
    server: RenewalServer, tmp_path: Path
) -> None:
    """The next step is in the message."""
    (tmp_path / "empty").mkdir()
    with refused(RequestRefused, "identity-missing"):
        renew(server, tmp_path / "empty")
    folder = server.enrolled(tmp_path / "id")
    (folder / "server").unlink()
    assert code_of(renew, server, folder) == "server-unnamed"
    (folder / "server").write_text("ftp://x")
    assert code_of(renew, server, folder) == "server-address-malformed"


def test_without_the_old_owner_nothing_is_changed(
    server: RenewalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file cannot get the group that it had, the old pair stays: other rights could show the key to others."""
    folder = server.enrolled(tmp_path / "id")
    renew(server, folder)
    before = pair_of(folder)
    status = (folder / "key.pem").stat()
    real = os.stat

    def foreign(path: object, *arguments: object, **keywords: object) -> os.stat_result:
        found = real(path, *arguments, **keywords)  # type: ignore[arg-type]
        values = list(found)
        if str(path).endswith("id/key.pem"):
            values[5] = status.st_gid + 1
        return os.stat_result(values)

    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "stat", foreign)
    monkeypatch.setattr(os, "chown", denied)
    assert code_of(renew, server, folder) == "owner-not-kept"
    assert pair_of(folder) == before


def test_without_links_nothing_is_changed(
    server: RenewalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without symbolic links is told, before the server is asked."""
    folder = server.enrolled(tmp_path / "id")
    before = pair_of(folder)

    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", unsupported)
    assert code_of(renew, server, folder) == "links-unsupported"
    assert (pair_of(folder), server.asked) == (before, [])
