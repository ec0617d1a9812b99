"""The folder of an identity: all files or none, never overwritten, resumable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.agent.store import CERTIFICATE, CHAIN, KEY, ROOT, IdentityFolder
from doorward.core.errors import ConfigurationError, IntegrityError, RequestRefused
from doorward.core.ports import KeyKind, PrivateKey
from tests.support.ports import PlainKeys
from tests.support.refusals import refused
from tests.support.syncing import watch_syncing

FILES = {ROOT: b"root", CHAIN: b"chain", "alice.p12": b"p12", CERTIFICATE: b"certificate"}


def make_key() -> PrivateKey:
    """Return a fresh key."""
    return PlainKeys().generate(KeyKind.P256)


def no_key() -> PrivateKey:
    """Fail: no key may be made here."""
    raise AssertionError("a second key was made")


def content(folder: Path) -> dict[str, bytes]:
    """Return the plain files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def enrolled(folder: Path, **other: bytes) -> bytes:
    """Put a whole identity into a folder; return its key file."""
    identity = IdentityFolder(folder)
    identity.begin(make_key, force=True)
    identity.finish(FILES | other)
    return (folder / KEY).read_bytes()


def test_a_whole_identity_is_installed(tmp_path: Path) -> None:
    """All files are there in the end, secrets for the owner only, and nothing else."""
    out = tmp_path / "new" / "alice"
    identity = IdentityFolder(out)
    key = identity.begin(make_key)
    assert identity.received() == {}
    assert identity.finish(FILES) is None
    assert content(out) == FILES | {KEY: (out / KEY).read_bytes()}
    modes = {path.name: path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert modes == {KEY: 0o600, "alice.p12": 0o600, CERTIFICATE: 0o644, CHAIN: 0o644, ROOT: 0o644}
    assert out.stat().st_mode & 0o777 == 0o700
    assert key.private_numbers()  # type: ignore[union-attr]  # it is a P-256 key


def test_the_key_is_stored_before_anything_else_happens(tmp_path: Path) -> None:
    """A run that is killed after its first step leaves the key, and the next run uses it."""
    first = IdentityFolder(tmp_path).begin(make_key)
    second = IdentityFolder(tmp_path).begin(no_key)
    assert first.public_key() == second.public_key()
    assert not (tmp_path / KEY).exists()


def test_stored_files_survive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The final name of each file is made durable too, because the link cannot be used again."""
    folder = IdentityFolder(tmp_path / "alice")
    folder.begin(make_key)
    synced = watch_syncing(monkeypatch)
    folder.keep(CHAIN, b"chain")
    pending = tmp_path / "alice" / ".enrolling"
    assert [is_folder for _, is_folder in synced] == [False, True]
    assert synced[-1] == (pending, True)


def test_a_received_answer_survives(tmp_path: Path) -> None:
    """A run that is killed after the server's answer leaves it for the next run; a newer answer replaces it."""
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key)
    identity.keep(ROOT, b"root")
    identity.keep(CHAIN, b"old")
    identity.keep(CHAIN, b"chain")
    again = IdentityFolder(tmp_path)
    again.begin(no_key)
    assert again.received() == {ROOT: b"root", CHAIN: b"chain"}


def test_an_identity_is_not_replaced_without_force(tmp_path: Path) -> None:
    """A second enrolment into the same folder is refused and changes nothing."""
    enrolled(tmp_path)
    before = content(tmp_path)
    with refused(RequestRefused, "identity-exists"):
        IdentityFolder(tmp_path).begin(no_key)
    assert content(tmp_path) == before


def test_with_force_the_old_identity_is_set_aside_as_a_whole(tmp_path: Path) -> None:
    """The old files are in `previous-1`, the next ones in `previous-2`; no byte is lost."""
    keys = [enrolled(tmp_path), enrolled(tmp_path, **{CHAIN: b"chain 2"}), enrolled(tmp_path)]
    assert len(set(keys)) == 3
    assert (tmp_path / KEY).read_bytes() == keys[2]
    assert content(tmp_path / "previous-1") == FILES | {KEY: keys[0]}
    assert content(tmp_path / "previous-2") == FILES | {KEY: keys[1], CHAIN: b"chain 2"}


def test_with_force_the_p12_file_of_another_name_is_set_aside_too(tmp_path: Path) -> None:
    """If Bob's identity replaces Alice's, her `.p12` file does not stay beside his."""
    key = enrolled(tmp_path)
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key, force=True)
    new = {"bob.p12" if name == "alice.p12" else name: data for name, data in FILES.items()}
    assert identity.finish(new) == tmp_path / "previous-1"
    assert content(tmp_path / "previous-1") == FILES | {KEY: key}
    assert sorted(path.name for path in tmp_path.glob("*.p12")) == ["bob.p12"]


def test_with_force_the_old_identity_stays_until_the_new_one_is_there(tmp_path: Path) -> None:
    """A failed enrolment with --force leaves the old identity in place."""
    key = enrolled(tmp_path)
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key, force=True)
    assert content(tmp_path) == FILES | {KEY: key}


def test_files_of_others_are_set_aside_not_overwritten(tmp_path: Path) -> None:
    """A file that happens to have one of our names is kept."""
    (tmp_path / "alice.p12").write_bytes(b"mine")
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key)
    assert identity.finish(FILES) == tmp_path / "previous-1"
    assert content(tmp_path / "previous-1") == {"alice.p12": b"mine"}


@pytest.mark.parametrize("moved", range(6))
def test_an_installation_that_was_cut_off_is_finished_by_the_next_run(tmp_path: Path, moved: int) -> None:
    """However many files were moved before, the next run moves the rest."""
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key)
    for name, data in FILES.items():
        identity.keep(name, data)
    ready = (tmp_path / ".enrolling").rename(tmp_path / ".installing")
    for path in sorted(ready.iterdir(), key=lambda path: path.name == KEY)[:moved]:
        path.rename(tmp_path / path.name)
    with pytest.raises(RequestRefused, match="already"):
        IdentityFolder(tmp_path).begin(no_key)
    assert set(content(tmp_path)) == {KEY, *FILES}
    assert not ready.exists()


def test_a_pending_key_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    """A key with open permissions may have been copied or planted."""
    IdentityFolder(tmp_path).begin(make_key)
    (tmp_path / ".enrolling" / KEY).chmod(0o640)
    with refused(IntegrityError, "key-exposed"):
        IdentityFolder(tmp_path).begin(no_key)


@pytest.mark.parametrize(
    "damage", [b"", b"not a key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_a_damaged_pending_key_is_not_replaced_silently(tmp_path: Path, damage: bytes) -> None:
    """A key file that cannot be read is refused and left in place."""
    IdentityFolder(tmp_path).begin(make_key)
    (tmp_path / ".enrolling" / KEY).write_bytes(damage)
    with refused(IntegrityError, "key-damaged"):
        IdentityFolder(tmp_path).begin(no_key)


def test_a_symbolic_link_in_the_place_of_the_key_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link of another user must not make the agent read or write elsewhere."""
    (tmp_path / ".enrolling").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / ".enrolling" / KEY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        IdentityFolder(tmp_path).begin(make_key)
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_pipe_in_the_place_of_the_key_does_not_hang(tmp_path: Path) -> None:
    """Only plain files are read."""
    (tmp_path / ".enrolling").mkdir()
    os.mkfifo(tmp_path / ".enrolling" / KEY)
    with pytest.raises(ConfigurationError, match="regular file"):
        IdentityFolder(tmp_path).begin(make_key)


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """Each step says that the folder is the problem."""
    (tmp_path / "file").write_bytes(b"")
    with refused(ConfigurationError, "folder-unusable") as caught:
        IdentityFolder(tmp_path / "file").begin(make_key)
    assert "--out" in caught.value.hint
    with pytest.raises(ConfigurationError):
        IdentityFolder(tmp_path / "missing").keep(ROOT, b"")
    identity = IdentityFolder(tmp_path)
    identity.begin(make_key)
    (tmp_path / ".installing").write_bytes(b"")
    with pytest.raises(ConfigurationError):
        identity.finish({})
