"""The contract of `RevisionStore` and `ChangeStore`."""

from __future__ import annotations

import threading

import pytest

from doorward.core.entities import TENANT
from doorward.core.errors import RequestRefused
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import ChangeKind, ChangeRecord
from tests.support.ports import NOON
from tests.support.records import revision
from tests.support.refusals import refused


def test_revisions_are_numbered_without_gaps(work: UnitOfWork) -> None:
    """The next revision is latest + 1; any other number lost a race and is refused."""
    second = revision(2, document="apps:\n  größe: {}\n")
    with work.change() as stores:
        assert stores.revisions.latest() is None
        for number in (0, 2):
            with refused(RequestRefused, "revision-conflict"):
                stores.revisions.add(revision(number))
        stores.revisions.add(revision(1))
        stores.revisions.add(second)
        with pytest.raises(RequestRefused):
            stores.revisions.add(second)
        assert stores.revisions.latest() == second
        assert stores.revisions.get(1) == revision(1)
        assert stores.revisions.get(3) is None
        assert list(stores.revisions.list(10)) == [second, revision(1)]
        assert list(stores.revisions.list(1)) == [second]


def test_changes_are_numbered_from_one(work: UnitOfWork) -> None:
    """Each change has the next number and comes back after any other, oldest first."""
    with work.change() as stores:
        assert stores.changes.head() == 0
        assert stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON) == 1
        assert stores.changes.note(ChangeKind.CERTIFICATE, "crt_one", NOON) == 2
    with work.change() as stores:
        assert stores.changes.note(ChangeKind.POLICY, "1", NOON) == 3
    with work.read() as stores:
        assert stores.changes.head() == 3
        assert [change.seq for change in stores.changes.since(0)] == [1, 2, 3]
        assert [change.seq for change in stores.changes.since(0, limit=2)] == [1, 2]
        assert stores.changes.since(2) == [
            ChangeRecord(seq=3, tenant=TENANT, kind=ChangeKind.POLICY, subject="1", at=NOON)
        ]
        assert stores.changes.since(3) == []


def test_changes_that_come_together_have_numbers_in_their_order(work: UnitOfWork) -> None:
    """Each subject has the next number; without subjects no number is taken."""
    with work.change() as stores:
        assert stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON) == 1
        assert list(stores.changes.note_all(ChangeKind.CERTIFICATE, ["crt_b", "crt_a"], NOON)) == [2, 3]
        assert list(stores.changes.note_all(ChangeKind.CERTIFICATE, [], NOON)) == []
    with work.read() as stores:
        assert stores.changes.head() == 3
        assert [change.subject for change in stores.changes.since(1)] == ["crt_b", "crt_a"]


def test_a_rolled_back_change_leaves_no_gap(work: UnitOfWork) -> None:
    """A number that was taken and rolled back is given to the next change."""
    with pytest.raises(KeyError), work.change() as stores:  # noqa: PT012  # the block is the point
        assert stores.changes.note(ChangeKind.POLICY, "1", NOON) == 1
        raise KeyError
    with work.change() as stores:
        assert stores.changes.head() == 0
        assert stores.changes.note(ChangeKind.POLICY, "2", NOON) == 1


def test_numbers_follow_the_commits_of_many_threads(work: UnitOfWork) -> None:
    """Eight threads take numbers, some roll back: no gap, no duplicate, and no reader sees a later number first."""
    kept: list[int] = []
    seen: list[int] = []
    done = threading.Event()

    def writer(name: int) -> None:
        for turn in range(12):
            try:
                with work.change() as stores:
                    seq = stores.changes.note(ChangeKind.PRINCIPAL, f"per_{name}_{turn}", NOON)
                    if turn % 4 == 3:
                        raise KeyError  # noqa: TRY301  # undone on purpose
            except KeyError:
                continue
            kept.append(seq)

    def follower() -> None:
        head = 0
        while True:
            last = done.is_set()
            with work.read() as stores:
                news = [change.seq for change in stores.changes.since(head)]
            seen.extend(news)
            head = news[-1] if news else head
            if last and not news:
                return

    threads = [threading.Thread(target=writer, args=(name,)) for name in range(8)]
    watcher = threading.Thread(target=follower)
    for thread in (*threads, watcher):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    assert sorted(kept) == list(range(1, 8 * 9 + 1))
    assert seen == list(range(1, 8 * 9 + 1))
