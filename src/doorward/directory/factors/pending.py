"""Challenges and secrets that wait for a browser's answer: for WebAuthn, and for TOTP while it is enrolled.

They are kept in memory for five minutes. `serve` is one process; after a restart the person begins again. Each entry is
bound to a certificate, and each certificate has at most five entries, of which the oldest is dropped. So no person can
push out the entries of another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from doorward.core.ports import RandomSource
from doorward.wire.base64url import render_base64url

LIFETIME = timedelta(minutes=5)
"""The same time as the timeout for the browser (`factors.webauthn.options`)."""

PER_HOLDER = 5
HOLDERS = 10_000
"""About 10 MB. Beyond this limit, the entries of the certificate that was used longest ago are dropped."""

ID_BYTES = 16


class Purpose(Enum):
    """The purpose of an entry; an answer for one purpose is not accepted for another."""

    ENROL_PASSKEY = "enrol-passkey"
    CHECK_PASSKEY = "check-passkey"
    ENROL_TOTP = "enrol-totp"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingSecret:
    purpose: Purpose
    secret: bytes = field(repr=False)
    expires_at: datetime


class PendingTable:
    """The entries of one process; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: OrderedDict[str, OrderedDict[str, _PendingSecret]] = OrderedDict()

    def put(self, random: RandomSource, holder: str, purpose: Purpose, secret: bytes, now: datetime) -> str:
        """Keep a challenge or a secret for five minutes; return its id."""
        name = render_base64url(random.token(ID_BYTES))
        with self._lock:
            mine = self._holders.setdefault(holder, OrderedDict())
            self._holders.move_to_end(holder)
            mine[name] = _PendingSecret(purpose=purpose, secret=secret, expires_at=now + LIFETIME)
            while len(mine) > PER_HOLDER:
                mine.popitem(last=False)
            while len(self._holders) > HOLDERS:
                self._holders.popitem(last=False)
        return name

    def take(self, name: str, holder: str, purpose: Purpose, now: datetime) -> bytes | None:
        """Return the challenge or secret and drop it; None if it is unknown, expired, or for another purpose."""
        return self._find(name, holder, purpose, now, keep=False)

    def look(self, name: str, holder: str, purpose: Purpose, now: datetime) -> bytes | None:
        """Return the challenge or secret and keep it; None as in `take`."""
        return self._find(name, holder, purpose, now, keep=True)

    def _find(self, name: str, holder: str, purpose: Purpose, now: datetime, *, keep: bool) -> bytes | None:
        with self._lock:
            mine = self._holders.get(holder)
            found = mine.get(name) if mine else None
            if mine is None or found is None:
                return None
            if not keep or now >= found.expires_at:
                del mine[name]
                if not mine:
                    del self._holders[holder]
        return found.secret if found.purpose is purpose and now < found.expires_at else None
