"""The limit of OCSP responses that are signed while the client waits.

A pre-signed response costs no signature. A request with a nonce, or about a serial number that was never issued, needs a
new signature, and anybody may send such requests. Without a limit, a flood of them would keep all threads busy, and a
slow key (a hardware token signs about a hundred times a second) could not renew the pre-signed responses.
A request beyond the limit gets the pre-signed response, or `tryLater`.

Not here: the responses (authority.status). Safe to share between threads.
Standard: RFC 9654 section 2.1 (a responder may ignore a nonce); RFC 6960 sections 2.3 and 5.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PER_SECOND = 5_000
"""The design's target; with a key in memory it takes less than half of a core."""

AT_ONCE = 4
"""Half of the threads in which the web surfaces call use cases (`web.pool`)."""


class OcspSigningLimiter:
    """The limit of one process: signatures at the same time, and signatures per second."""

    def __init__(self, *, per_second: int = PER_SECOND, at_once: int = AT_ONCE) -> None:
        self._lock = threading.Lock()
        self._per_second = per_second
        self._free = at_once
        self._second = 0
        self._taken = 0

    @contextmanager
    def slot(self, monotonic_seconds: float) -> Iterator[bool]:
        """Hold a slot for as long as the block lasts; yields False if there is none.

        Args:
            monotonic_seconds: from `Clock.monotonic`; the limit applies to each whole second.
        """
        granted = self._take(int(monotonic_seconds))
        try:
            yield granted
        finally:
            if granted:
                with self._lock:
                    self._free += 1

    def _take(self, second: int) -> bool:
        with self._lock:
            if second != self._second:
                self._second, self._taken = second, 0
            granted = self._free > 0 and self._taken < self._per_second
            if granted:
                self._free -= 1
                self._taken += 1
            return granted
