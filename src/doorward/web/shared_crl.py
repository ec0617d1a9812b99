"""The newest revocation lists of each authority, full and in partitions, each kept in memory once for all clients.

Not here: signing and storing lists (authority.status.crls), sending them (downloads).

For each request the number of the newest list is read from the database, and its bytes only if the list in memory has
another number. An answer that still sends an older list keeps it in memory until it ends (`protocol.ANSWER_SECONDS`). A new
list appears every ten seconds at most, so at most a dozen are in memory, however many clients read.
Standard: RFC 5280 section 5.2.3 (the number of a list grows), RFC 9110 section 8.8.3 (ETag).
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

from doorward.authority.status.published_objects import crl_number, current_crl
from doorward.stores.records import CrlRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCrl:
    """One list with its entity tag."""

    record: CrlRecord
    tag: str


class SharedCrls:
    """The lists; every method may be called from any thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], SharedCrl] = {}

    def find(self, authority_id: str, partition: str = "") -> SharedCrl | None:
        """Return the newest list, always as the same object; None if there is none."""
        with self._lock:  # also around the look-up: if many requests find no list at once, one loads it
            held = self._held.get((authority_id, partition))
            number = crl_number(self._services, authority_id, partition)
            if held is not None and held.record.number == number:
                return held
            record = None if number is None else current_crl(self._services, authority_id, partition)
            if record is None:
                return None
            shared = SharedCrl(record=record, tag=render_tag(record.der))
            self._held[authority_id, partition] = shared
            return shared


def render_tag(body: bytes) -> str:
    """Return the strong entity tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
