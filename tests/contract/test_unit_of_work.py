"""The contract of `UnitOfWork`, `Stores` and `EventOutbox`."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from doorward.core.entities import Application
from doorward.core.errors import IntegrityError
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import ChangeKind
from tests.support.events import request_answered, sealed_block
from tests.support.ports import NOON, CountingNotifier
from tests.support.records import (
    authority,
    certificate,
    crl,
    gateway,
    invitation,
    order,
    principal,
    revision,
    tenant,
)
from tests.support.refusals import refused

ALICE = principal("alice")


def test_a_change_is_visible_after_its_commit_only(work: UnitOfWork) -> None:
    """A reader beside an open change sees nothing of it; the change itself sees its own writes."""
    with work.change() as stores:
        stores.directory.add(ALICE, NOON)
        assert stores.directory.get(ALICE.id) == ALICE
        with work.read() as other:
            assert other.directory.get(ALICE.id) is None
    with work.read() as stores:
        assert stores.directory.get(ALICE.id) == ALICE


def test_a_snapshot_does_not_change(work: UnitOfWork) -> None:
    """The snapshot of a reader does not change after later commits."""
    with work.read() as stores:
        assert stores.directory.list() == []
        assert stores.changes.head() == 0
        with work.change() as other:
            other.directory.add(ALICE, NOON)
            other.changes.note(ChangeKind.PRINCIPAL, ALICE.id, NOON)
        assert stores.directory.list() == []
        assert stores.changes.head() == 0


def test_a_commit_changes_the_mark(work: UnitOfWork) -> None:
    """While the mark is the same, a reader would see the same; a store that cannot tell has none."""
    mark = work.commit_marks()
    before = mark()
    assert mark() == before
    with work.read() as stores:
        assert stores.changes.head() == 0
    assert mark() == before
    with work.change() as stores:
        stores.changes.note(ChangeKind.PRINCIPAL, ALICE.id, NOON)
        beside = mark()
    after = mark()
    assert before is None or after not in (before, beside)
    work.record([request_answered(1)])
    assert after is None or mark() != after


@pytest.mark.parametrize("fault", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_any_exception_undoes_the_whole(
    work: UnitOfWork, notifier: CountingNotifier, fault: type[BaseException]
) -> None:
    """State, number and event are undone together, no notification is sent, and the next change works."""
    with pytest.raises(fault), work.change() as stores:  # noqa: PT012  # the block is the point
        stores.directory.add(ALICE, NOON)
        stores.changes.note(ChangeKind.PRINCIPAL, ALICE.id, NOON)
        stores.outbox.add(request_answered(1))
        raise fault
    assert notifier.count == 0
    with work.change() as stores:
        assert stores.directory.list() == []
        assert stores.changes.head() == 0
        assert stores.outbox.waiting() == 0
        stores.directory.add(ALICE, NOON)


def test_the_notification_follows_the_commit(work: UnitOfWork, notifier: CountingNotifier) -> None:
    """Followers are woken once per change that moved the sequence, and find it moved; before, the change is announced."""
    heads: list[tuple[str, int]] = []

    def read_head(when: str) -> None:
        with work.read() as stores:
            heads.append((when, stores.changes.head()))

    notifier.announce = lambda: read_head("announced")  # type: ignore[method-assign]
    notifier.notify = lambda: read_head("notified")  # type: ignore[method-assign]
    with work.change() as stores:
        stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
        stores.changes.note(ChangeKind.PRINCIPAL, "per_two", NOON)
        assert heads == []
    assert heads == [("announced", 0), ("notified", 2)]


def test_no_notification_without_a_change(work: UnitOfWork, notifier: CountingNotifier) -> None:
    """Reading, recording events and changes without a number send no notification."""
    with work.read():
        pass
    work.record([request_answered(1)])
    with work.change() as stores:
        stores.ingest.advance("gtw_one", "access.log", 0, 1)
    assert notifier.count == notifier.announced == 0


def test_a_reader_cannot_write(work: UnitOfWork) -> None:
    """Every store refuses to write through a read transaction."""
    application = Application(id="app_one", tenant=ALICE.tenant, name="one")
    with work.read() as stores:
        for write in (
            lambda: stores.tenants.add(tenant()),
            lambda: stores.directory.add(ALICE, NOON),
            lambda: stores.directory.set_state(ALICE.id, ALICE.state),
            lambda: stores.directory.add_group("g", "grp_g", NOON),
            lambda: stores.directory.add_member("g", ALICE.id),
            lambda: stores.applications.add(application, NOON),
            lambda: stores.applications.remove("app_one", NOON),
            lambda: stores.authorities.add(authority("root")),
            lambda: stores.certificates.add_intended(certificate(1)),
            lambda: stores.certificates.complete(certificate(1)),
            lambda: stores.invitations.add(invitation("one")),
            lambda: stores.invitations.redeem("inv_one", "crt_one", NOON),
            lambda: stores.invitations.void("inv_one", NOON),
            lambda: stores.revisions.add(revision(1)),
            lambda: stores.changes.note(ChangeKind.POLICY, "1", NOON),
            lambda: stores.outbox.add(request_answered(1)),
            lambda: stores.gateways.save(gateway("one")),
            lambda: stores.gateways.confirm("gtw_one", 1, NOON, ""),
            lambda: stores.gateways.remove("gtw_one"),
            lambda: stores.orders.add(order("one")),
            lambda: stores.orders.fill("ord_one", "crt_one"),
            lambda: stores.status.store_crl(crl(1)),
            lambda: stores.status.forget_ocsp("crt_one"),
            lambda: stores.ingest.advance("gtw_one", "access.log", 0, 1),
        ):
            with pytest.raises(RuntimeError, match="cannot write"):
                write()


def test_a_record_of_another_tenant_is_refused(work: UnitOfWork) -> None:
    """A record that names another tenant than the transaction's is refused before it is stored."""
    with work.change() as stores:
        for write in (
            lambda: stores.directory.add(replace(ALICE, tenant="ten_other"), NOON),
            lambda: stores.certificates.add_intended(certificate(1, tenant="ten_other")),
            lambda: stores.revisions.add(revision(1, tenant="ten_other")),
        ):
            with pytest.raises(ValueError, match="another tenant"):
                write()


def test_a_change_within_a_change_raises_at_once(work: UnitOfWork) -> None:
    """A thread that would wait for itself gets an error instead of hanging; the outer change goes on."""
    with work.change() as stores:
        with pytest.raises(RuntimeError, match="wait for itself"), work.change():
            pass
        stores.directory.add(ALICE, NOON)
    with work.read() as stores:
        assert stores.directory.get(ALICE.id) == ALICE


def test_events_wait_for_the_sequencer(work: UnitOfWork) -> None:
    """Events of changes and of records wait together; no events are no transaction."""
    with work.change() as stores:
        stores.outbox.add(request_answered(1))
        assert stores.outbox.waiting() == 1
    work.record([request_answered(2), request_answered(3)])
    work.record([])
    with work.read() as stores:
        assert stores.outbox.waiting() == 3


def test_a_batch_is_recorded_whole_or_not(work: UnitOfWork) -> None:
    """If one event was recorded before, its whole batch is refused."""
    work.record([request_answered(1)])
    with refused(IntegrityError, "event-duplicate"):
        work.record([request_answered(2), request_answered(1)])
    with work.read() as stores:
        assert stores.outbox.waiting() == 1


def test_one_of_many_threads_redeems_an_invitation(work: UnitOfWork) -> None:
    """Eight threads redeem the same invitation at the same time: exactly one wins."""
    made = invitation("one")
    with work.change() as stores:
        stores.invitations.add(made)
    won: list[bool] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        with work.change() as stores:
            won.append(stores.invitations.redeem(made.id, "crt_one", NOON))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_many_events_are_queued_at_once(work: UnitOfWork) -> None:
    """Or none of them, if one was recorded before."""
    with work.change() as stores:
        stores.outbox.add_all([])
        stores.outbox.add_all([request_answered(1), request_answered(2)])
        assert stores.outbox.waiting() == 2
    with pytest.raises(IntegrityError), work.change() as stores:
        stores.outbox.add_all([request_answered(3), request_answered(2)])
    with work.read() as stores:
        assert stores.outbox.waiting() == 2


def test_events_of_one_moment_are_queued_together(work: UnitOfWork) -> None:
    """As a block: all of them, or none, if its first event was recorded before."""
    events = [replace(request_answered(number), at=NOON) for number in (1, 2, 3)]
    with work.change() as stores:
        stores.outbox.add_all(events)
        assert stores.outbox.waiting() == 3
    with pytest.raises(IntegrityError), work.change() as stores:
        stores.outbox.add_all(events)
    with work.read() as stores:
        assert stores.outbox.waiting() == 3


def test_a_block_of_events_is_queued_whole(work: UnitOfWork) -> None:
    """The events of a block are queued together, or none of them, if one was recorded before."""
    with work.change() as stores:
        stores.outbox.add_block(sealed_block(1, 2, 3))
    with pytest.raises(IntegrityError), work.change() as stores:
        stores.outbox.add_block(sealed_block(1, 2, 3))
    with work.read() as stores:
        assert stores.outbox.waiting() == 3
