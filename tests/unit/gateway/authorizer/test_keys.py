"""The gateway's assertion key in its file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from doorward.core.errors import IntegrityError
from doorward.core.ports import KeyKind
from doorward.gateway.authorizer.keys import load_assertion_key
from tests.support.ports import PlainKeys


def numbers(key: EllipticCurvePrivateKey) -> int:
    """Return the private number of a key."""
    return key.private_numbers().private_value


def test_the_first_start_makes_a_key_that_stays(tmp_path: Path) -> None:
    """A key is made once, for this user alone, and every later start has the same."""
    path = tmp_path / "keys" / "assertion.pem"
    made = load_assertion_key(path, PlainKeys())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert numbers(load_assertion_key(path, PlainKeys())) == numbers(made)
    assert [one.name for one in path.parent.iterdir()] == ["assertion.pem"]


def test_an_interrupted_start_is_made_good(tmp_path: Path) -> None:
    """A draft that a crash left behind is replaced, and never taken for the key."""
    path = tmp_path / "assertion.pem"
    draft = path.with_name(".assertion.pem.new")
    draft.write_text("half a ke")
    load_assertion_key(path, PlainKeys())
    assert not draft.exists()


def other_key(kind: KeyKind, encryption: KeySerializationEncryption | None = None) -> bytes:
    """The PEM of a key of that kind."""
    key = PlainKeys().generate(kind)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff" * 100,
        b"-----BEGIN PRIVATE KEY-----\n",
        other_key(KeyKind.ED25519),
        other_key(KeyKind.P384),
        other_key(KeyKind.P256, BestAvailableEncryption(b"x" * 20)),
    ],
    ids=["empty", "garbage", "binary", "truncated", "ed25519", "p384", "encrypted"],
)
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    """A file with anything else than a P-256 key is refused with a hint; the file stays as it is."""
    path = tmp_path / "assertion.pem"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        load_assertion_key(path, PlainKeys())
    assert caught.value.code == "assertion-key-damaged"
    assert caught.value.hint
    assert path.read_bytes() == content
