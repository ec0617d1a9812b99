"""How many OCSP answers may be signed while somebody waits for them.

Answers made ahead cost no signature, whoever asks. A nonce, and a serial number that was never issued, make
the responder's key work for a stranger: without a bound, a flood of such questions would keep all threads
busy, and a slow key (a token signs some hundred times a second) from renewing what is made ahead.
Whoever comes beyond the bound is given the answer made ahead, or told to try later.

Not here: what is answered (status). Safe to share between threads.
Standard: RFC 9654 section 2.1 (a responder need not answer a nonce); RFC 6960 sections 2.3 and 5.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PER_SECOND = 5_000
"""The figure of DESIGN section 6; with a key in memory it is less than half of a core."""

AT_ONCE = 4
"""Half of the threads in which the web surfaces call use cases (`web.pool`)."""


class OcspSigningLimiter:
    """The places of one process."""

    def __init__(self, *, per_second: int = PER_SECOND, at_once: int = AT_ONCE) -> None:
        self._lock = threading.Lock()
        self._per_second = per_second
        self._free = at_once
        self._second = 0
        self._taken = 0

    @contextmanager
    def slot(self, monotonic_seconds: float) -> Iterator[bool]:
        """Take a place for as long as the block lasts; yields False where there is none.

        Args:
            monotonic_seconds: by `Clock.monotonic`; places are counted by its whole seconds.
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
