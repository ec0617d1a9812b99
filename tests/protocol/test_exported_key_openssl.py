"""openssl opens an exported key: the outside judge of what is kept offline for years."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doorward.authority.exported_key import encrypt_private_key
from doorward.core.ports import KeyKind
from tests.support.ports import FakeRandom, PlainKeys

OFFLINE = "another passphrase"

pytestmark = pytest.mark.needs("openssl")


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.ED25519, KeyKind.RSA3072])
def test_openssl_opens_an_export(tmp_path: Path, kind: KeyKind) -> None:
    """The exported key opens under its passphrase and is the key that was exported; another one fails."""
    key = PlainKeys().generate(kind)
    file = tmp_path / "root.pem"
    file.write_bytes(encrypt_private_key(key, OFFLINE.encode(), FakeRandom()))
    command = ["openssl", "pkey", "-in", str(file), "-pubout", "-outform", "DER", "-passin"]
    opened = subprocess.run([*command, f"pass:{OFFLINE}"], check=True, capture_output=True)
    assert opened.stdout == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert subprocess.run([*command, "pass:wrong"], check=False, capture_output=True).returncode != 0
