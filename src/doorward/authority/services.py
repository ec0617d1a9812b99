"""What every use case needs of the world, in one value that `runtime.compose` fills."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.authority.stores import UnitOfWork
from doorward.core.ports import Clock, KeyFactory, KeyStore, RandomSource

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports of the use cases. `keys` is None in a process that must not sign (the gateway)."""

    work: UnitOfWork
    clock: Clock
    random: RandomSource
    factory: KeyFactory
    keys: KeyStore | None = None

    def new_id(self, prefix: str) -> str:
        """Return a fresh opaque id: the prefix, `_`, and 20 characters (100 bits) of `[a-z2-7]`."""
        return f"{prefix}_" + "".join(_ALPHABET[byte & 31] for byte in self.random.token(20))
