"""Challenges for strangers: nothing is kept for one until it was answered well.

A challenge holds random bytes, the moment at which it ends, and a MAC over both. The key of the MAC is in memory only.
So asking for a million costs no memory. It is used up by a good answer (which needs a passkey), so a recorded answer
is worth nothing; a wrong answer uses nothing up, or a stranger could spend what another is about to answer.
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
"""As long as the browser waits for the person (factors.webauthn, TIMEOUT_MILLISECONDS)."""

MOST_USED = 4096
"""Used challenges that are remembered: each is a good answer with a passkey, within five minutes."""

_RANDOM_BYTES, _MOMENT_BYTES, _MAC_BYTES = 16, 8, 16
_LENGTH = _RANDOM_BYTES + _MOMENT_BYTES + _MAC_BYTES


class Challenges:
    """Makes challenges and knows its own again; safe between threads.

    Args:
        random: where their bytes come from.
    """

    def __init__(self, random: RandomSource) -> None:
        self._random = random
        self._key = random.token(32)
        self._used: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, now: datetime) -> bytes:
        """Return a fresh challenge of 40 bytes, good for five minutes."""
        ends = int((now + LIFETIME).timestamp())
        text = self._random.token(_RANDOM_BYTES) + ends.to_bytes(_MOMENT_BYTES, "big")
        return text + self._mac(text)

    def is_open(self, challenge: bytes, now: datetime) -> bool:
        """Say whether it is one of ours, in time, and was not used."""
        if len(challenge) != _LENGTH:
            return False
        text, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(text)):
            return False
        in_time = int(now.timestamp()) <= int.from_bytes(text[_RANDOM_BYTES:], "big")
        with self._lock:
            return in_time and challenge not in self._used

    def use(self, challenge: bytes, now: datetime) -> bool:
        """Use it up; True for exactly one caller, and only while it is open."""
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
        return hmac.new(self._key, b"passkey-renewal" + text, hashlib.sha256).digest()[:_MAC_BYTES]
