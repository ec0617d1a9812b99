"""One-time refusals: the next connection with a certificate is refused, because the person wants to show another one.

The refusal is a TLS alert: after one alert Chromium asks the person again which certificate to show. If a connection is
only cut, Chromium opens it again with the same certificate. A note ends with the first refusal, or after some
seconds, so that it does not shut out the certificate for long.

Not here: who asked for it (directory.certificate_choices).
"""

from __future__ import annotations

import threading
from datetime import datetime

from doorward.core.ports import Clock
from doorward.stores.certificate_choice import CHOICE_LIFETIME, CertificateChoice

MOST_REFUSALS = 1_000
"""If there are more, the oldest is dropped: that person presses the button again."""


class OneTimeRefusals:
    """The notes of one gateway; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}

    def note(self, subject: str, at: datetime) -> bool:
        """Note a choice that was made at the moment `at`; return False if that is too long ago."""
        until = at + CHOICE_LIFETIME
        if until <= self._clock.now():
            return False
        with self._lock:
            self._until.pop(subject, None)
            while len(self._until) >= MOST_REFUSALS:
                del self._until[next(iter(self._until))]
            self._until[subject] = until
        return True

    def take(self, choice: CertificateChoice) -> bool:
        """Return whether a connection with this certificate is to be refused; True once for each note."""
        if not self._until:
            return False
        with self._lock:
            until = self._until.pop(choice.subject, None)
        return until is not None and self._clock.now() < until
