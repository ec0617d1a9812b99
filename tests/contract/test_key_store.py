"""The contract of `core.ports.KeyStore`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doorward.core.errors import NotFound, RequestRefused
from doorward.core.ports import KeyKind, KeyStore, PrivateKey
from doorward.storage.keystore import FileKeyStore
from tests.support.ports import MemoryKeyStore, PlainKeys
from tests.support.refusals import refused

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(params=["memory", "file"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    """An empty key store of each kind."""
    if request.param == "memory":
        return MemoryKeyStore()
    return FileKeyStore.create(tmp_path / "keys", PASSPHRASE)


def public(key: PrivateKey) -> bytes:
    """The value that identifies a key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_keys_are_kept_by_name(keys: KeyStore) -> None:
    """A key is loaded by its name, names are sorted, and a removed key is gone."""
    first, second = (PlainKeys().generate(KeyKind.P256) for _ in range(2))
    assert keys.names() == []
    keys.store("root-1", first)
    keys.store("issuing-1", second)
    assert keys.names() == ["issuing-1", "root-1"]
    assert public(keys.load("root-1")) == public(first)
    assert public(keys.load("issuing-1")) == public(second)
    keys.remove("root-1")
    assert keys.names() == ["issuing-1"]
    with refused(NotFound, "key-unknown"):
        keys.load("root-1")
    with pytest.raises(NotFound):
        keys.remove("root-1")


def test_a_key_is_never_overwritten(keys: KeyStore) -> None:
    """A name that is taken is refused, and the first key stays."""
    first, second = (PlainKeys().generate(KeyKind.P256) for _ in range(2))
    keys.store("root-1", first)
    with refused(RequestRefused, "key-exists"):
        keys.store("root-1", second)
    assert public(keys.load("root-1")) == public(first)
