"""Writing a private key as encrypted PEM, and reading it back."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization

from doorward.authority import exported_key
from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from tests.support.ports import FakeRandom, PlainKeys
from tests.support.refusals import refused

PASSPHRASE = b"correct horse battery"


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048])
def test_other_software_opens_it(kind):
    """The output is PKCS#8 that any library opens with the passphrase."""
    key = PlainKeys().generate(kind)
    pem = exported_key.encrypt_private_key(key, PASSPHRASE, FakeRandom())
    assert serialization.load_pem_private_key(pem, PASSPHRASE).public_key() == key.public_key()
    assert exported_key.open_exported_key(pem, PASSPHRASE).public_key() == key.public_key()
    assert max(map(len, pem.splitlines())) == 64


def test_guessing_is_slow():
    """The file has our number of rounds, not the library's 2,048."""
    pem = exported_key.encrypt_private_key(PlainKeys().generate(KeyKind.P256), PASSPHRASE, FakeRandom())
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    assert b"\x02\x03" + (600_000).to_bytes(3) in der


@pytest.mark.parametrize("exported", [b"", b"nonsense", b"x" * 70_000])
def test_other_bytes_are_refused(exported):
    """Any other bytes give our error."""
    with refused(MalformedInput, "export-unreadable"):
        exported_key.open_exported_key(exported, PASSPHRASE)


def test_wrong_passphrase_opens_nothing():
    """A wrong passphrase gives the same error as a file without a key."""
    pem = exported_key.encrypt_private_key(PlainKeys().generate(KeyKind.P256), PASSPHRASE, FakeRandom())
    with refused(MalformedInput, "export-unreadable"):
        exported_key.open_exported_key(pem, b"the wrong one")
