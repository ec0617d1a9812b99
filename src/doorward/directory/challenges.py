"""Challenges (WebAuthn) and nonces (renewal) for unknown callers; memory is used only for challenges that got a good answer.

A challenge contains random bytes, its expiry time, and a MAC over both. The MAC key exists in memory only. So a million
challenges cost no memory. A good answer, which needs a passkey, marks the challenge as used: a recorded answer cannot be
replayed. A wrong answer does not: otherwise an attacker could use up a challenge that another person is about to answer.
Standard: WebAuthn Level 3 section 13.4.3 (challenges); RFC 2104.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from doorward.core.ports import RandomSource

LIFETIME = timedelta(minutes=5)
"""The same time as the browser's own timeout (factors.webauthn, TIMEOUT_MILLISECONDS)."""

MOST_USED = 4096
"""How many used challenges are remembered; each one was a good answer with a passkey in the last five minutes."""

_RANDOM_BYTES, _MOMENT_BYTES, _MAC_BYTES = 16, 8, 16
_LENGTH = _RANDOM_BYTES + _MOMENT_BYTES + _MAC_BYTES


class Challenges:
    """Makes challenges and recognises its own; safe between threads.

    Args:
        random: the source of the random bytes and of the MAC key, so no instance accepts another one's challenges.
    """

    def __init__(self, random: RandomSource) -> None:
        self._random = random
        self._key = random.token(32)
        self._used: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, now: datetime) -> bytes:
        """Return a new challenge of 40 bytes, valid for five minutes."""
        ends = int((now + LIFETIME).timestamp())
        text = self._random.token(_RANDOM_BYTES) + ends.to_bytes(_MOMENT_BYTES, "big")
        return text + self._mac(text)

    def is_open(self, challenge: bytes, now: datetime) -> bool:
        """Say whether this process made the challenge, it has not expired, and it was not used."""
        if len(challenge) != _LENGTH:
            return False
        text, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(text)):
            return False
        in_time = int(now.timestamp()) <= int.from_bytes(text[_RANDOM_BYTES:], "big")
        with self._lock:
            return in_time and challenge not in self._used

    def use(self, challenge: bytes, now: datetime) -> bool:
        """Mark the challenge as used; True for exactly one caller, and only while it is open."""
        if not self.is_open(challenge, now):
            return False
        with self._lock:
            if challenge in self._used:
                return False
            self._used[challenge] = None
            if len(self._used) > MOST_USED:
                self._used.popitem(last=False)
            return True

    def _mac(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).digest()[:_MAC_BYTES]
