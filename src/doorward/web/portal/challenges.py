"""Challenges of passkeys: random, good for one answer of one certificate for one purpose, for five minutes.

They lie in memory: one that a restart loses costs the person another click. A certificate has four at most, and its
newest push out its oldest, so one holder cannot push out those of others.
Standard: WebAuthn Level 3 section 13.4.3 (challenges).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from doorward.core.ports import Clock, RandomSource

LIFETIME_SECONDS = 300.0
MOST_OF_ONE = 4
MOST_HOLDERS = 10_000


@dataclass(slots=True)
class _Held:
    """The challenges of one certificate: purpose to challenge and the time it was made."""

    by_purpose: OrderedDict[str, tuple[bytes, float]] = field(default_factory=OrderedDict)


class Challenges:
    """All challenges of one process; calls come from its event loop."""

    def __init__(self, clock: Clock, random: RandomSource) -> None:
        self._clock = clock
        self._random = random
        self._holders: OrderedDict[str, _Held] = OrderedDict()

    def make(self, holder: str, purpose: str, length: int) -> bytes:
        """Return a new challenge of so many bytes; a former one for the same purpose is worth nothing any more.

        Args:
            holder: SHA-256 of the certificate, hex.
            purpose: what its answer is for, such as `check stp_…`.
            length: in bytes.
        """
        challenge = self._random.token(length)
        held = self._holders.setdefault(holder, _Held())
        self._holders.move_to_end(holder)
        held.by_purpose.pop(purpose, None)
        held.by_purpose[purpose] = challenge, self._clock.monotonic()
        if len(held.by_purpose) > MOST_OF_ONE:
            held.by_purpose.popitem(last=False)
        if len(self._holders) > MOST_HOLDERS:
            self._holders.popitem(last=False)
        return challenge

    def take(self, holder: str, purpose: str) -> bytes | None:
        """Return the challenge for this purpose, once; None if there is none, or it is over."""
        held = self._holders.get(holder)
        found = held.by_purpose.pop(purpose, None) if held else None
        if found is None or self._clock.monotonic() - found[1] >= LIFETIME_SECONDS:
            return None
        return found[0]
