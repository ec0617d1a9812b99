"""Encrypted keys in files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from doorward.core.errors import DoorwardError, IntegrityError, NotFound, RequestRefused, Unavailable
from doorward.core.ports import KeyKind, PrivateKey
from doorward.storage.keystore import HEADER, FileKeyStore
from tests.support.doorway import quick_keys
from tests.support.ports import PlainKeys
from tests.support.refusals import refused

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(autouse=True)
def cheap_keys() -> Iterator[None]:
    """What a guess at the passphrase costs is not what is tested."""
    with quick_keys():
        yield


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "keys"


@pytest.fixture
def store(keys: Path) -> FileKeyStore:
    """A store that was made and opened."""
    return FileKeyStore.create(keys, PASSPHRASE)


def plain(key: PrivateKey) -> bytes:
    """The key's own bytes, to compare."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("kind", KeyKind)
def test_every_kind_of_key_comes_back(store: FileKeyStore, kind: KeyKind) -> None:
    """A loaded key equals the stored key and has its type."""
    key = PlainKeys().generate(kind)
    store.store("one", key)
    assert plain(store.load("one")) == plain(key)
    assert type(store.load("one")) is type(key)


def test_a_store_is_opened_by_its_passphrase_only(store: FileKeyStore, keys: Path) -> None:
    """A second opening finds the same keys; another passphrase is refused in words that help."""
    key = PlainKeys().generate(KeyKind.ED25519)
    store.store("root", key)
    assert plain(FileKeyStore.open(keys, PASSPHRASE).load("root")) == plain(key)
    with refused(RequestRefused, "passphrase-wrong") as caught:
        FileKeyStore.open(keys, PASSPHRASE + b"!")
    assert caught.value.hint


def test_nothing_of_the_key_is_on_the_disk(store: FileKeyStore, keys: Path) -> None:
    """No file contains the plain key or the passphrase, and no other user can read the files."""
    key = PlainKeys().generate(KeyKind.ED25519)
    store.store("root", key)
    for path in keys.iterdir():
        data = path.read_bytes()
        assert plain(key)[-32:] not in data
        assert PASSPHRASE not in data
        assert path.stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700


def test_each_sealing_uses_a_fresh_nonce(store: FileKeyStore, keys: Path) -> None:
    """Two files of one key differ: nonces are never repeated."""
    key = PlainKeys().generate(KeyKind.ED25519)
    store.store("one", key)
    first = (keys / "one.key").read_bytes()
    store.remove("one")
    store.store("one", key)
    assert (keys / "one.key").read_bytes() != first


@pytest.mark.parametrize("place", [0, 5, 16, 27, 28, 40, -1])
def test_an_altered_file_is_found(store: FileKeyStore, keys: Path, place: int) -> None:
    """A changed byte anywhere (magic, nonce, key, tag) is an integrity error that names the file."""
    store.store("one", PlainKeys().generate(KeyKind.P256))
    path = keys / "one.key"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        store.load("one")
    assert (caught.value.code, caught.value.context) == ("key-damaged", {"file": "one.key"})


@pytest.mark.parametrize("size", [0, 10, 16, 20, 44, 64 * 1024 + 1])
def test_a_file_of_another_length_is_found(store: FileKeyStore, keys: Path, size: int) -> None:
    """A cut, empty or huge file is an integrity error too."""
    store.store("one", PlainKeys().generate(KeyKind.P256))
    path = keys / "one.key"
    path.write_bytes(path.read_bytes().ljust(size, b"\x00")[:size])
    with pytest.raises(IntegrityError):
        store.load("one")


def test_a_key_under_another_name_does_not_open(store: FileKeyStore, keys: Path) -> None:
    """An attacker who swaps two files cannot make the root key act as another key."""
    store.store("root", PlainKeys().generate(KeyKind.P256))
    shutil.copy(keys / "root.key", keys / "issuing.key")
    with pytest.raises(IntegrityError):
        store.load("issuing")


def test_a_key_of_another_store_does_not_open(store: FileKeyStore, keys: Path, tmp_path: Path) -> None:
    """A file from another store is refused, under the same passphrase as well."""
    FileKeyStore.create(tmp_path / "other", PASSPHRASE)
    other = FileKeyStore.open(tmp_path / "other", PASSPHRASE)
    other.store("root", PlainKeys().generate(KeyKind.P256))
    shutil.copy(tmp_path / "other" / "root.key", keys / "root.key")
    with pytest.raises(IntegrityError):
        store.load("root")


def test_a_key_that_does_not_sign_is_refused(store: FileKeyStore) -> None:
    """A stored key of an unsupported kind is not returned."""
    store.store("one", x25519.X25519PrivateKey.generate())  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        store.load("one")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../root", "a/b", "/etc/passwd", "Root", "a.b", "-a", "a\n", "ä", "a" * 81, "a\x00"],
)
def test_names_cannot_leave_the_directory(store: FileKeyStore, name: str) -> None:
    """A name outside of the closed alphabet is refused for every purpose."""
    key = PlainKeys().generate(KeyKind.ED25519)
    for act in (
        lambda: store.load(name),
        lambda: store.store(name, key),
        lambda: store.remove(name),
    ):
        with refused(RequestRefused, "key-name-invalid"):
            act()
    assert store.names() == []


def test_the_longest_name_works(store: FileKeyStore) -> None:
    """Eighty characters are allowed."""
    store.store("a" * 80, PlainKeys().generate(KeyKind.ED25519))
    assert store.names() == ["a" * 80]


def test_names_are_those_of_keys(store: FileKeyStore, keys: Path) -> None:
    """Other files in the directory, and leftovers of a crash, are no keys."""
    for name in (".one.key.new", "Notes.key", "readme.txt"):
        (keys / name).write_bytes(b"")
    store.store("one", PlainKeys().generate(KeyKind.ED25519))
    assert store.names() == ["one"]


def test_a_store_is_made_once(store: FileKeyStore, keys: Path) -> None:
    """A second header would make every key unreadable, so it is refused."""
    before = (keys / HEADER).read_bytes()
    with refused(RequestRefused, "keystore-exists"):
        FileKeyStore.create(keys, PASSPHRASE)
    assert (keys / HEADER).read_bytes() == before


def test_a_short_passphrase_makes_no_store(tmp_path: Path) -> None:
    """A passphrase below the limit is refused before anything is written."""
    with refused(RequestRefused, "passphrase-short"):
        FileKeyStore.create(tmp_path / "keys", b"fourteen bytes")
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_an_open_directory_is_refused(store: FileKeyStore, keys: Path, mode: int) -> None:
    """If other users may read the directory, making and opening are refused, with a hint."""
    keys.chmod(mode)
    with refused(RequestRefused, "keystore-open-to-others") as caught:
        FileKeyStore.open(keys, PASSPHRASE)
    assert "chmod 700" in caught.value.hint
    (keys / HEADER).unlink()
    with pytest.raises(RequestRefused):
        FileKeyStore.create(keys, PASSPHRASE)


def test_no_store_is_not_found(tmp_path: Path) -> None:
    """A directory without a header holds no store."""
    assert not FileKeyStore.exists(tmp_path)
    with refused(NotFound, "keystore-missing"):
        FileKeyStore.open(tmp_path, PASSPHRASE)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"kdf": {"name": "scrypt", "n": 2, "r": 8, "p": 1}},
        {"kdf": {"name": "pbkdf2", "n": 2**17, "r": 8, "p": 1}},
        {"kdf": None},
        {"salt": ""},
        {"salt": "zz"},
        {"verifier": 7},
        {"more": 1},
    ],
)
def test_a_header_with_weaker_parameters_is_refused(
    store: FileKeyStore, keys: Path, changed: dict[str, object]
) -> None:
    """Weaker parameters, another version or another form are damage, not options."""
    path = keys / HEADER
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with refused(IntegrityError, "keystore-damaged"):
        FileKeyStore.open(keys, PASSPHRASE)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 60000, b"x" * 70000])
def test_a_malformed_header_is_refused(store: FileKeyStore, keys: Path, data: bytes) -> None:
    """Any other content of the header is one of our errors."""
    (keys / HEADER).write_bytes(data)
    with pytest.raises(IntegrityError):
        FileKeyStore.open(keys, PASSPHRASE)


def test_a_header_of_another_store_does_not_open_this_one(store: FileKeyStore, keys: Path) -> None:
    """The verifier covers the store's id."""
    path = keys / HEADER
    path.write_text(json.dumps(json.loads(path.read_text()) | {"store": "00" * 16}))
    with refused(RequestRefused, "passphrase-wrong"):
        FileKeyStore.open(keys, PASSPHRASE)


def test_a_key_that_was_loaded_is_parsed_once(store: FileKeyStore, keys: Path) -> None:
    """The same bytes give the same object; an altered or removed file is noticed all the same."""
    store.store("one", PlainKeys().generate(KeyKind.P256))
    assert store.load("one") is store.load("one")
    path = keys / "one.key"
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        store.load("one")
    path.unlink()
    with pytest.raises(NotFound):
        store.load("one")


@pytest.mark.parametrize("look", ["names", "load"])
def test_a_key_that_another_process_destroyed_is_forgotten(
    store: FileKeyStore, keys: Path, look: str
) -> None:
    """Nothing of this process refers to the key any more, so that the library overwrites it."""
    store.store("one", PlainKeys().generate(KeyKind.P256))
    key = store.load("one")
    references = sys.getrefcount(key)
    (keys / "one.key").unlink()
    if look == "names":
        assert store.names() == []
    else:
        with pytest.raises(NotFound):
            store.load("one")
    assert sys.getrefcount(key) == references - 1


def test_errors_of_the_disk_are_reported(store: FileKeyStore, keys: Path) -> None:
    """A refusal by the operating system is one of our errors, and nothing was stored or removed."""
    (keys / ".one.key.new").mkdir()
    with refused(Unavailable, "keystore-unwritable"):
        store.store("one", PlainKeys().generate(KeyKind.ED25519))
    (keys / "two.key").mkdir()
    unreadable: list[DoorwardError] = []
    for act in (lambda: store.load("two"), lambda: FileKeyStore.exists(keys / ("x" * 300))):
        with pytest.raises(Unavailable) as caught:
            act()
        unreadable.append(caught.value)
    assert {error.code for error in unreadable} == {"keystore-unreadable"}
