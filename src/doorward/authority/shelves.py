"""The evidence of revocation that is at hand in this process, ready to be asked: one shelf a partner.

Not here: fetching it (`evidence`), and judging by it (`verification.revocation`). A list of a million
entries takes seconds to read, so a shelf is filled apart from the connections that ask it: `load` is for
a thread of its own. Until it returns the former shelf is asked, and in the beginning an empty one, which
knows nothing and so lets nobody in where evidence is required.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from doorward.authority.partner_records import EvidenceKind, EvidenceRecord
from doorward.authority.stores import UnitOfWork
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.shelf import Shelf

_EMPTY = Shelf()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """What one shelf was made of: evidence by its SHA-256, so that what did not change is not read again."""

    shelf: Shelf
    crls: Mapping[str, Crl]
    bodies: Mapping[str, bytes]
    answers: Mapping[str, tuple[bytes, ...]]


class Shelves:
    """All shelves of one process; safe to share between threads."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._loaded: Mapping[str, _Loaded] = {}

    def of(self, partner_id: str) -> Shelf:
        """Return a partner's shelf as of now."""
        loaded = self._loaded.get(partner_id)
        return _EMPTY if loaded is None else loaded.shelf

    def load(self, partner_id: str) -> bool:
        """Fill a partner's shelf from the database; return whether anything is another now.

        Raises:
            Unavailable: the database cannot be read; the former shelf stays.
            MalformedInput: evidence cannot be read: it was judged before it was stored.
        """
        with self._lock:  # two loads beside each other could end in the wrong order
            before = self._loaded.get(partner_id)
            crls: dict[str, Crl] = {}
            bodies: dict[str, bytes] = {}
            answers: dict[str, tuple[bytes, ...]] = {}
            for one in self._list(partner_id):
                known = _known(before, one)
                body = b"" if known else self._read(one)
                if not known and not body:  # dropped since it was listed: the next change tells
                    continue
                if one.kind is EvidenceKind.CRL:
                    crls[one.sha256] = known if isinstance(known, Crl) else parse_crl(body)
                else:
                    bodies[one.sha256] = known if isinstance(known, bytes) else body
                    answers[one.about] = (*answers.get(one.about, ()), bodies[one.sha256])
            if before and (before.crls.keys(), before.answers) == (crls.keys(), answers):
                return False
            loaded = _Loaded(shelf=Shelf(crls.values(), answers), crls=crls, bodies=bodies, answers=answers)
            self._loaded = {**self._loaded, partner_id: loaded}
            return True

    def _list(self, partner_id: str) -> list[EvidenceRecord]:
        with self._work.read() as books:
            return [one for one in books.evidence.list(partner_id) if one.sha256]

    def _read(self, one: EvidenceRecord) -> bytes:
        with self._work.read() as books:
            found = books.evidence.get(one.partner_id, one.kind, one.source, one.about)
        return found.der if found is not None and found.sha256 == one.sha256 else b""


def _known(before: _Loaded | None, one: EvidenceRecord) -> Crl | bytes | None:
    if before is None:
        return None
    return (before.crls if one.kind is EvidenceKind.CRL else before.bodies).get(one.sha256)
