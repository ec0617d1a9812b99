"""What a browser was asked and has not answered yet: challenges of WebAuthn, secrets of TOTP being enrolled.

They live in memory, for minutes: `serve` is one process, and a person that it is restarted under begins again. Each is
bound to the certificate that it was made for, and each has a few: the oldest
make room. So one person cannot push out another's.
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
"""As long as WebAuthn gives a browser (`factors.webauthn.options`)."""

PER_HOLDER = 5
HOLDERS = 10_000
"""About 10 MB. Beyond it the holder who asked longest ago begins again."""

ID_BYTES = 16


class Purpose(Enum):
    """What the answer is for; an answer for one is not good for another."""

    ENROL_PASSKEY = "enrol-passkey"
    CHECK_PASSKEY = "check-passkey"
    ENROL_TOTP = "enrol-totp"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingSecret:
    purpose: Purpose
    secret: bytes = field(repr=False)
    expires_at: datetime


class PendingTable:
    """What is pending in this process; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: OrderedDict[str, OrderedDict[str, _PendingSecret]] = OrderedDict()

    def put(self, random: RandomSource, holder: str, purpose: Purpose, secret: bytes, now: datetime) -> str:
        """Keep a challenge or a secret for five minutes; return the id by which it is found again."""
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
        """Return what was kept, once; None where it is not there (any more), is over, or is for something else."""
        return self._find(name, holder, purpose, now, keep=False)

    def look(self, name: str, holder: str, purpose: Purpose, now: datetime) -> bytes | None:
        """Return what was kept, and keep it."""
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
