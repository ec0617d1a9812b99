"""Responses in memory follow the change sequence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.authority.status import ocsp_memo
from doorward.authority.status.ocsp_memo import MOST_CHANGES, MOST_ENTRIES, MOST_REQUEST_BYTES, OcspMemo
from doorward.stores.records import ChangeKind, ChangeRecord
from tests.support.ports import NOON

LATER = NOON + timedelta(hours=1)


class Sequence:
    """The change sequence, of which old rows may be missing."""

    def __init__(self) -> None:
        self.rows: list[ChangeRecord] = []
        self.number = 0

    def head(self) -> int:
        """Return the newest number."""
        return self.number

    def note(self, kind: ChangeKind, subject: str, at: object = NOON) -> int:
        """Add a change."""
        self.number += 1
        self.rows.append(ChangeRecord(seq=self.number, tenant="ten", kind=kind, subject=subject, at=NOON))
        return self.number

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        """Return changes."""
        return [one for one in self.rows if one.seq > seq][:limit]


def filled(changes: Sequence) -> OcspMemo:
    """Return a memo with responses about two certificates, one of them by two requests."""
    memo = OcspMemo()
    memo.follow(changes)
    for request, certificate in ((b"a", "crt_a"), (b"aa", "crt_a"), (b"b", "crt_b")):
        memo.add(request, certificate, request + b"!", next_update=LATER, now=NOON)
    return memo


def found(memo: OcspMemo) -> set[bytes]:
    """Return the requests that have a response."""
    return {one for one in (b"a", b"aa", b"b") if memo.find(one, NOON)}


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_each_kind_of_change(kind: ChangeKind) -> None:
    """A change of a certificate drops its responses, one of an authority all, and the others none; every kind was looked at."""
    changes = Sequence()
    memo = filled(changes)
    changes.note(kind, "crt_a")
    memo.follow(changes)
    left = {ChangeKind.CERTIFICATE: {b"b"}, ChangeKind.AUTHORITY: set()}
    assert found(memo) == left.get(kind, {b"a", b"aa", b"b"})


def test_nothing_new_drops_nothing() -> None:
    """Without a change the responses stay, and they are what was added."""
    changes = Sequence()
    memo = filled(changes)
    memo.follow(changes)
    assert memo.find(b"a", NOON) == b"a!"
    assert memo.find(b"c", NOON) is None


@pytest.mark.parametrize("case", ["back", "same number", "holes", "many"])
def test_what_cannot_be_followed_drops_all(case: str) -> None:
    """A database that was put back, changes that were removed, and too many of them leave nothing.

    A database that was put back is noticed also if it has reached the number of before by another change.
    """
    changes = Sequence()
    changes.note(ChangeKind.POLICY, "1")
    memo = filled(changes)
    if case == "back":
        changes.number = 0
        changes.rows.clear()
    elif case == "same number":
        changes.number = 0
        changes.rows.clear()
        changes.note(ChangeKind.POLICY, "2")
    elif case == "holes":
        changes.note(ChangeKind.CERTIFICATE, "crt_b")
        changes.note(ChangeKind.POLICY, "2")
        del changes.rows[1]
    else:
        for _ in range(MOST_CHANGES + 1):
            changes.note(ChangeKind.POLICY, "2")
    memo.follow(changes)
    assert found(memo) == set()


def test_a_response_ends_with_its_next_update_and_after_a_minute() -> None:
    """Whichever comes first."""
    memo = OcspMemo()
    memo.add(b"long", "crt_a", b"x", next_update=LATER, now=NOON)
    memo.add(b"short", "crt_b", b"y", next_update=NOON + timedelta(seconds=5), now=NOON)
    seconds = {one: timedelta(seconds=one) for one in (4, 5, 59, 60)}
    assert [memo.find(b"short", NOON + seconds[one]) for one in (4, 5)] == [b"y", None]
    assert [memo.find(b"long", NOON + seconds[one]) for one in (59, 60)] == [b"x", None]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long requests are not kept, and at the limit all begins again."""
    memo = OcspMemo()
    long = b"x" * (MOST_REQUEST_BYTES + 1)
    memo.add(long, "crt_a", b"x", next_update=LATER, now=NOON)
    assert memo.find(long, NOON) is None
    assert MOST_ENTRIES * (MOST_REQUEST_BYTES + 2048) < 10_000_000
    monkeypatch.setattr(ocsp_memo, "MOST_ENTRIES", 2)
    for request in (b"1", b"2", b"3"):
        memo.add(request, "crt_a", b"x", next_update=LATER, now=NOON)
    assert [memo.find(one, NOON) for one in (b"1", b"2", b"3")] == [None, None, b"x"]


def test_a_response_is_replaced() -> None:
    """The same request with a newer response gives the newer one, and is dropped with its certificate."""
    changes = Sequence()
    memo = filled(changes)
    memo.add(b"a", "crt_a", b"new", next_update=LATER, now=NOON)
    assert memo.find(b"a", NOON) == b"new"
    changes.note(ChangeKind.CERTIFICATE, "crt_a")
    memo.follow(changes)
    assert found(memo) == {b"b"}
