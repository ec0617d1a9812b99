"""Pre-signed OCSP responses that were found in the database, kept in memory as long as no change concerns them.

A response is found by the bytes of the request, which needs no parser. Before each use the memo follows the change sequence
in the reader's own snapshot, so a response is never older than the state that the database has at that moment:

    1. no new change: every entry holds
    2. a change of a certificate: its entries are dropped
    3. a change of a kind that touches no response (`_HARMLESS`): nothing is dropped
    4. any other change, or a sequence that cannot be followed (`ChangeReader`): all entries are dropped

An entry also ends with the nextUpdate of its response, and after a minute, so that a refreshed response replaces it soon.
Not here: looking responses up (ocsp_answering). Not safe to share between threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.stores.change_reader import ChangeReader
from doorward.stores.protocols import ChangeStore
from doorward.stores.records import ChangeKind

MOST_ENTRIES = 4096
"""With one response of about 1 KiB each, some 6 MB."""

MOST_REQUEST_BYTES = 256
"""A request without a nonce has about 110 bytes; RFC 5019 section 5 allows 255 in a GET."""

LONGEST_AGE = timedelta(minutes=1)
MOST_CHANGES = 1000
"""Changes that are followed one by one; beyond it, beginning again costs less."""

_HARMLESS = frozenset(
    {
        ChangeKind.PRINCIPAL,
        ChangeKind.APPLICATION,
        ChangeKind.POLICY,
        ChangeKind.ORDER,
        ChangeKind.PARTNER,
        ChangeKind.EVIDENCE,
        ChangeKind.GROUP,
        ChangeKind.SESSION_KEY,
        ChangeKind.CHOICE,
    }
)
"""Kinds that change no state of a certificate of ours; a new kind is not among them until somebody has looked."""


@dataclass(frozen=True, slots=True)
class _Entry:
    certificate_id: str
    der: bytes
    until: datetime


class OcspMemo:
    """The memo of one answerer."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._requests: dict[str, list[bytes]] = {}
        self._reader = ChangeReader(MOST_CHANGES)

    def follow(self, changes: ChangeStore) -> None:
        """Drop what the changes since the last call concern; call it first in each snapshot."""
        found = self._reader.read(changes)
        if found is None:
            self._clear()
            return
        for change in found:
            if change.kind is ChangeKind.CERTIFICATE:
                self._drop(change.subject)
            elif change.kind not in _HARMLESS:
                self._clear()

    def find(self, request: bytes, now: datetime) -> bytes | None:
        """Return the response for exactly these bytes, or None."""
        entry = self._entries.get(request)
        return entry.der if entry is not None and now < entry.until else None

    def add(
        self, request: bytes, certificate_id: str, der: bytes, *, next_update: datetime, now: datetime
    ) -> None:
        """Keep a response that was found in the snapshot of the last `follow`; at the limit, begin again."""
        if len(request) > MOST_REQUEST_BYTES:
            return
        if len(self._entries) >= MOST_ENTRIES:
            self._clear()
        if request not in self._entries:
            self._requests.setdefault(certificate_id, []).append(request)
        until = min(next_update, now + LONGEST_AGE)
        self._entries[request] = _Entry(certificate_id, der, until)

    def _drop(self, certificate_id: str) -> None:
        for request in self._requests.pop(certificate_id, ()):
            self._entries.pop(request, None)

    def _clear(self) -> None:
        self._entries.clear()
        self._requests.clear()
