"""The ports that every use case needs, in one value that `runtime.compose` fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from doorward.core.ports import Clock, KeyFactory, KeyStore, RandomSource
from doorward.stores.batching import Batcher
from doorward.stores.ocsp_signing_limiter import OcspSigningLimiter
from doorward.stores.protocols import UnitOfWork
from doorward.stores.renewal_terms import RenewalTerms

if TYPE_CHECKING:  # plain commands load little (docs/design/0049)
    from doorward.pki.profiles import CertificateProfile

_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
"""In ASCII order, so that ids sort by time."""

APPROVAL_DAYS = 30
"""Devices of a delivery are switched on within some weeks; after that, who has one may not be who was meant."""

_CHARACTER_OF_BYTE = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
_TIME_CHARACTERS, _RANDOM_CHARACTERS, _PLACE_CHARACTERS = 9, 11, 3
_MOST_AT_ONCE = 32**_PLACE_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports of the use cases. `keys` is None in a process that must not sign (the gateway).

    `crl_lifetime` and `ocsp_lifetime` are the time from thisUpdate to nextUpdate of published CRLs and OCSP responses
    (RFC 5280 section 5.1.2.5, RFC 6960 section 4.2.2.1).
    `crl_partitions`: the number of CRLs that the certificates issued from now on are divided into, 1 to 256.
    `crl_deltas`: whether CRLs made from now on name a delta, which then follows each revocation instead of them.
    `lifetimes`: how long new certificates last, by the name of their profile; one that is not named has its default.
    `renewal`: how long after its end a certificate may be renewed, and how often.
    `approval_lifetime`: how long an operator's approval of a device waits for the device.
    `ocsp_signing_limiter`: limits how many OCSP responses this process signs while clients wait.
    `issuing`: the requests for certificates that this process issues together.
    """

    work: UnitOfWork
    clock: Clock
    random: RandomSource
    factory: KeyFactory
    keys: KeyStore | None = None
    crl_lifetime: timedelta = timedelta(hours=24)
    ocsp_lifetime: timedelta = timedelta(hours=12)
    crl_partitions: int = 1
    crl_deltas: bool = False
    lifetimes: Mapping[str, timedelta] = field(default_factory=dict)
    renewal: RenewalTerms = field(default_factory=RenewalTerms)
    approval_lifetime: timedelta = timedelta(days=APPROVAL_DAYS)
    ocsp_signing_limiter: OcspSigningLimiter = field(default_factory=OcspSigningLimiter)
    issuing: Batcher[Any, Any] = field(default_factory=Batcher)

    def lifetime_of(self, profile: CertificateProfile) -> timedelta:
        """Return how long new certificates of a profile last."""
        return self.lifetimes.get(profile.name, profile.lifetime)

    def new_id(self, prefix: str) -> str:
        """Return a new opaque id: the prefix, `_`, and 20 characters of `[a-z2-7]`.

        The first 9 characters are milliseconds (45 bits, until the year 3084), the rest is random (55 bits). So new
        rows are neighbours in every index, which makes writing a large log eight times faster. An id is a name, never a
        secret.
        """
        return self._begin_id(prefix, _RANDOM_CHARACTERS)

    def new_ids(self, prefix: str, count: int) -> list[str]:
        """Return new ids of the same form, at most 32,768, in their order.

        They have 40 random bits in common, and the last 3 characters are the place. So they cost little to make and to
        compress, and a second such list of the same millisecond has other ids.
        """
        if count > _MOST_AT_ONCE:
            raise ValueError(f"at most {_MOST_AT_ONCE} ids can be made at once")
        begin = self._begin_id(prefix, _RANDOM_CHARACTERS - _PLACE_CHARACTERS)
        begins = [
            begin + _base32(place, _PLACE_CHARACTERS - 1) for place in range(-(-count // len(_ALPHABET)))
        ]
        return [one + last for one in begins for last in _ALPHABET][:count]

    def _begin_id(self, prefix: str, random_characters: int) -> str:
        time = _base32(int(self.clock.now().timestamp() * 1000), _TIME_CHARACTERS)
        random = self.random.token(random_characters).translate(_CHARACTER_OF_BYTE).decode("ascii")
        return f"{prefix}_{time}{random}"


@lru_cache(maxsize=4)  # a batch makes many ids in one millisecond
def _base32(number: int, characters: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * characters - 5, -1, -5))
