"""The real clock, randomness and key factory: the only module that asks the machine for them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from doorward.core.ports import KeyKind

if TYPE_CHECKING:
    from doorward.core.ports import PrivateKey


class SystemClock:
    """The machine's clock (`core.ports.Clock`)."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class SystemRandom:
    """The kernel's randomness (`core.ports.RandomSource`)."""

    def token(self, length: int) -> bytes:
        """Return `length` unpredictable bytes."""
        return os.urandom(length)


class SoftwareKeys:
    """Keys made in memory by `cryptography` (`core.ports.KeyFactory`)."""

    def generate(self, kind: KeyKind) -> PrivateKey:
        """Return a fresh private key of that kind."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  only what makes keys

        match kind:
            case KeyKind.P256:
                return ec.generate_private_key(ec.SECP256R1())
            case KeyKind.P384:
                return ec.generate_private_key(ec.SECP384R1())
            case KeyKind.ED25519:
                return ed25519.Ed25519PrivateKey.generate()
            case KeyKind.RSA2048:
                return rsa.generate_private_key(public_exponent=65537, key_size=2048)
            case KeyKind.RSA3072:
                return rsa.generate_private_key(public_exponent=65537, key_size=3072)
