"""The limit of OCSP responses that are signed while the client waits.

A pre-signed response costs no signature. A request with a nonce, or about a serial number that was never issued, needs a
new signature, and anybody may send such requests. Without a limit, a flood of them would keep a core busy, and a
slow key (a hardware token signs about a hundred times a second) could not renew the pre-signed responses.
A request beyond the limit gets the pre-signed response, or `tryLater`.

Not here: the responses (authority.status). Safe to share between threads.
Standard: RFC 9654 section 2.1 (a responder may ignore a nonce); RFC 6960 sections 2.3 and 5.
"""

from __future__ import annotations

import threading

PER_SECOND = 5_000
"""The design's target; with a key in memory it takes less than half of a core."""

AT_ONCE = 64
"""Signatures that one thread makes in turn for requests that came together; the next requests wait for them, about 5 ms with a
key in memory, and less than a second with a hardware token."""


class OcspSigningLimiter:
    """The limit of one process: signatures for one batch of requests, and signatures per second."""

    def __init__(self, *, per_second: int = PER_SECOND, at_once: int = AT_ONCE) -> None:
        self._lock = threading.Lock()
        self._per_second = per_second
        self._at_once = at_once
        self._second = 0
        self._taken = 0

    def take(self, wanted: int, monotonic_seconds: float) -> int:
        """Return how many of the wanted signatures may be made.

        Args:
            wanted: requests that came together.
            monotonic_seconds: from `Clock.monotonic`; the limit applies to each whole second.
        """
        second = int(monotonic_seconds)
        with self._lock:
            if second != self._second:
                self._second, self._taken = second, 0
            granted = max(0, min(wanted, self._at_once, self._per_second - self._taken))
            self._taken += granted
            return granted
