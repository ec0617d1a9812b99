"""The real clock, randomness and key factory."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from doorward.core.ports import KeyKind
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom


def test_the_clock_is_aware_and_goes_forward() -> None:
    """The time is in UTC, and seconds never go back."""
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_tokens_have_their_length_and_never_repeat() -> None:
    """A token is as long as asked for, and another each time."""
    random = SystemRandom()
    assert len(random.token(20)) == 20
    assert random.token(20) != random.token(20)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_every_kind_of_key_is_made(kind: KeyKind) -> None:
    """A key is of the kind and size that was asked for."""
    key = SoftwareKeys().generate(kind)
    match key:
        case ec.EllipticCurvePrivateKey():
            assert {"secp256r1": KeyKind.P256, "secp384r1": KeyKind.P384}[key.curve.name] is kind
        case rsa.RSAPrivateKey():
            assert {2048: KeyKind.RSA2048, 3072: KeyKind.RSA3072}[key.key_size] is kind
            assert key.public_key().public_numbers().e == 65537
        case ed25519.Ed25519PrivateKey():
            assert kind is KeyKind.ED25519
