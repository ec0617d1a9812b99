"""The calls that a follower makes, the order in which it acts, and the state after a failure."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doorward.access import deciding as access
from doorward.authority import orders
from doorward.core.entities import Outcome
from doorward.core.errors import IntegrityError, Unavailable
from doorward.core.ports import KeyKind
from doorward.directory import principals as directory
from doorward.gateway.connections.journal import Journal
from doorward.gateway.following import follower as module
from doorward.gateway.following import reassessing
from doorward.gateway.following.change_mark import find_marked
from doorward.gateway.following.follower import ALERT_POLL_SECONDS, ALERT_SECONDS, POLL_SECONDS
from doorward.pki.csr import build_csr
from doorward.stores import policy_snapshot
from doorward.stores.affected_ids import affected_ids
from doorward.stores.records import ChangeKind, ChangeRecord
from tests.support.ports import NOON, Impatient
from tests.support.world import DOCUMENT
from tests.unit.gateway.following.conftest import ACTOR, Scene, scene_of
from tests.unit.gateway.live import live, pending
from tests.unit.gateway.standing import enter

# what is asked of others


def test_what_changed_is_read_before_a_connection_asks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """PermissionsCache, document and partners are read by the follower; no handshake waits for that."""
    held = scene.world.issue("alice")
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    monkeypatch.setattr(access, "_load_issuers", None)
    monkeypatch.setattr(policy_snapshot, "load_snapshot", None)
    decision = scene.decider.decide(scene.world.context(), held.record.der)
    assert decision.verdict.outcome is Outcome.GOOD


def test_an_order_wakes_publishing_and_affects_no_connection(scene: Scene) -> None:
    """A server certificate's order is passed on; no judgement is held up by it."""
    gateway = scene.world.gateway()
    request = build_csr(scene.world.services.factory.generate(KeyKind.P256), "payments.corp.example")
    before = scene.connections.sequence
    scene.connections.begin(pending(50))
    orders.place_order(scene.world.services, gateway.id, "payments", ["payments.corp.example"], request)
    scene.follow()
    assert scene.orders == [1]
    assert scene.published == []
    assert scene.connections.admit(live(50), judged_at=before)


def test_a_policy_is_published_by_its_own_number(scene: Scene) -> None:
    """Other changes of the same batch do not hide that an older one is not in force yet."""
    first = scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    directory.suspend(scene.world.services, "carol", actor=ACTOR)
    second = scene.apply(DOCUMENT)
    directory.resume(scene.world.services, "carol", actor=ACTOR)
    scene.follow()
    assert scene.published == [first, second]


def test_many_connections_of_one_person_all_end(scene: Scene) -> None:
    """One judgement is used for all connections of the same certificate, application and address."""
    held = scene.enter("alice", 10)
    for cookie in range(11, 20):
        enter(scene.world, scene.connections, held, cookie)
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, *range(10, 20)]


def test_every_connection_is_compared_with_a_policy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that loses permissions is ended, in any order of the registry."""
    monkeypatch.setattr(reassessing, "COMPARED_AT_ONCE", 2)
    held = scene.enter("bob", 10)
    for cookie in range(11, 15):
        enter(scene.world, scene.connections, held, cookie)
    scene.apply(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [clerks]}"))
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2, *range(10, 15)]
    assert scene.left() == [3]


def test_every_batch_is_confirmed(scene: Scene) -> None:
    """After each batch the control plane is told, with the number already advanced."""
    seq = directory.suspend(scene.world.services, "carol", actor=ACTOR).seq
    scene.confirmed.clear()
    scene.follow()
    assert scene.confirmed == [seq]
    scene.follow()
    assert scene.confirmed == [seq]


def test_long_sequences_are_followed_in_batches(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """More changes than a batch holds are followed to the end, each once."""
    monkeypatch.setattr(module, "BATCH", 2)
    for name in ("alice", "bob", "carol"):
        directory.suspend(scene.world.services, name, actor=ACTOR)
    scene.confirmed.clear()
    assert scene.follower.step() is True
    scene.follow()
    assert scene.follower.seq == scene.world.head()
    assert sorted(scene.cutter.cut) == [1, 2]


# the order of things


def test_no_older_judgement_is_admitted_once_a_change_was_seen(scene: Scene) -> None:
    """The change is noted before any connection is ended: a judgement under way at that moment is repeated."""
    carol = scene.world.issue("alice")
    scene.follow()
    scene.connections.begin(pending(60, app=scene.world.application_id("payments")))
    decision = scene.world.decide(carol.der)
    noted: list[int] = []
    scene.cutter.before = lambda: noted.append(scene.connections.sequence)
    seq = directory.suspend(scene.world.services, "alice", actor=ACTOR).seq
    scene.follow()
    assert noted == [seq]
    stale = replace(
        live(60, application_id=scene.world.application_id("payments")),
        principal_id=scene.world.principal("alice").id,
    )
    assert not scene.connections.admit(stale, judged_at=decision.seq)


def test_changes_of_one_person_do_not_hold_up_others(scene: Scene) -> None:
    """A judgement that no change names is admitted though the sequence moved on meanwhile."""
    before = scene.connections.sequence
    scene.connections.begin(pending(61))
    directory.suspend(scene.world.services, "bob", actor=ACTOR)
    scene.follow()
    assert scene.connections.admit(live(61), judged_at=before)


def test_a_policy_change_affects_all_connections(scene: Scene) -> None:
    """No judgement made under the old policy is admitted under the new one."""
    before = scene.connections.sequence
    scene.connections.begin(pending(62))
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert not scene.connections.admit(live(62), judged_at=before)


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_kinds_of_change_affect_their_subject_or_all(kind: ChangeKind) -> None:
    """Policy, applications, our own authority and groups affect all; every other change only the subject that it names."""
    change = ChangeRecord(seq=1, tenant="ten_default", kind=kind, subject="x", at=NOON)
    narrow = kind not in {ChangeKind.AUTHORITY, ChangeKind.APPLICATION, ChangeKind.POLICY, ChangeKind.GROUP}
    assert affected_ids([change]) == (frozenset({"x"}) if narrow else None)


# failures


def test_a_follower_that_read_nothing_yet_is_not_fresh(scene: Scene) -> None:
    """Before the sequence was read for the first time, every connection is refused."""
    fresh = scene_of(scene.world).follower
    assert not fresh.fresh()
    assert fresh.trouble() == "the change sequence cannot be read: new connections are refused"
    fresh.step()
    assert fresh.fresh()
    assert fresh.trouble() == ""


def test_an_unreadable_store_makes_the_gateway_stale(scene: Scene) -> None:
    """After max_staleness without a reading the follower is not fresh, and is again after the next one."""
    scene.follow()
    scene.world.work.broken = Unavailable("database-unavailable", "the disk is gone")
    scene.world.clock.turn(seconds=5)
    with pytest.raises(Unavailable):
        scene.follower.step()
    assert scene.follower.fresh()
    scene.world.clock.turn(seconds=0.001)
    assert not scene.follower.fresh()
    scene.world.work.broken = None
    scene.follow()
    assert scene.follower.fresh()


def test_a_failure_in_acting_does_not_advance(scene: Scene) -> None:
    """A change that could not be acted on is acted on again: its number is not passed, nor is it fresh."""
    scene.follow()
    before = scene.follower.seq
    scene.confirmed.clear()
    directory.suspend(scene.world.services, "alice", actor=ACTOR)

    def defect() -> None:
        raise RuntimeError("a defect")

    scene.cutter.before = defect
    scene.world.clock.turn(seconds=6)
    with pytest.raises(RuntimeError):
        scene.follower.step()
    assert scene.follower.seq == before
    assert scene.confirmed == []
    assert not scene.follower.fresh()
    assert [one.cookie for one in scene.connections.condemned()] == [1]
    scene.cutter.before = lambda: None
    scene.follow()
    assert scene.follower.seq == scene.world.head()


def test_a_cut_that_fails_leaves_the_connection_condemned(scene: Scene) -> None:
    """A connection that could not be cut has no permissions any more, and the reconciler cuts it again."""
    scene.cutter.resisting = {1}
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert scene.left() == [2, 3]
    assert [one.cookie for one in scene.connections.condemned()] == [1]
    assert scene.follower.seq == scene.world.head()


def test_the_thread_survives_what_goes_wrong(scene: Scene) -> None:
    """Neither an error that was foreseen nor one that was not ends the thread."""
    stop = threading.Event()
    troubles = [Unavailable("database-unavailable", "away"), None]
    ran: list[float] = []

    def wait(seconds: float) -> bool:
        ran.append(seconds)
        scene.world.work.broken = troubles.pop(0) if troubles else None
        if len(ran) == 2:
            scene.cutter.before = _raise
            directory.suspend(scene.world.services, "alice", actor=ACTOR)
        if len(ran) == 3:
            scene.cutter.before = lambda: None
            directory.suspend(scene.world.services, "bob", actor=ACTOR)
        if len(ran) == 5:
            stop.set()
        return True

    scene.follower.run(wait, stop)
    assert ran == [POLL_SECONDS, *[ALERT_POLL_SECONDS] * 4]
    assert scene.follower.seq == scene.world.head()
    assert 2 in scene.cutter.cut


def test_a_change_that_was_only_announced_is_found_soon(scene: Scene) -> None:
    """Its process was killed between the commit and the notification: for a second the sequence is read often."""
    stop = threading.Event()
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        scene.world.clock.turn(seconds=seconds)
        if len(waited) == 3:  # committed after the announcement, which was all that came
            directory.suspend(scene.world.services, "alice", actor=ACTOR)
        if len(waited) == 4:
            assert 1 in scene.cutter.cut
        if waited[-2:] == [POLL_SECONDS] * 2:
            stop.set()
        return len(waited) == 1

    scene.follower.run(wait, stop)
    often = waited[1:-2]
    assert set(often) == {ALERT_POLL_SECONDS}
    assert sum(often) >= ALERT_SECONDS


def test_the_thread_survives_a_failing_notification_socket(scene: Scene) -> None:
    """A change without a notification is found by polling."""
    stop = threading.Event()
    tries: list[float] = []

    def wait(seconds: float) -> bool:
        tries.append(seconds)
        if len(tries) == 2:
            directory.suspend(scene.world.services, "alice", actor=ACTOR)
        if len(tries) == 4:
            stop.set()
        raise OSError("the socket broke")

    scene.follower.run(wait, stop)
    assert scene.follower.seq == scene.world.head()
    assert 1 in scene.cutter.cut


def test_a_socket_that_keeps_failing_is_logged_once_a_minute(scene: Scene) -> None:
    """The log has the first failure with its traceback, then one a minute; each poll listens again; status names it."""
    stop = Impatient()
    rounds = 0
    troubles: list[str] = []

    def wait(seconds: float) -> bool:
        nonlocal rounds
        assert seconds == (ALERT_POLL_SECONDS if rounds == 30 else POLL_SECONDS)  # after a notification
        troubles.append(scene.follower.trouble())
        rounds += 1
        scene.world.clock.turn(seconds=1)
        if rounds == 125:
            stop.set()
            return True
        if rounds == 30:  # one wait succeeds in between
            return True
        raise OSError("the socket broke")

    with capture_logs() as logs:
        scene.follower.run(wait, stop)
    assert [line["log_level"] for line in logs] == ["error"] * 3
    assert all("the socket broke" in line["error"] for line in logs)
    assert [bool(line["exc_info"]) for line in logs] == [True, False, False]
    assert [bool(one) for one in troubles] == [at not in (0, 30) for at in range(125)]
    assert troubles[1] == "the gateway cannot listen for change notifications: changes are found by polling"
    assert scene.follower.trouble() == ""
    assert stop.waited == [POLL_SECONDS] * 123


def put_back(scene: Scene) -> None:
    """Take the last change out of the database, as a failover to a standby that lagged does."""
    with scene.world.work.change() as stores:
        stores.changes.writable().changes.popitem()


@pytest.mark.parametrize("others", [0, 1, 2], ids=["fewer", "as many", "more"])
def test_a_sequence_that_was_put_back_makes_the_gateway_stale(scene: Scene, others: int) -> None:
    """Its numbers are given out a second time: who waited for higher ones would miss a withdrawal."""
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert scene.follower.fresh()
    put_back(scene)
    for name in ("bob", "carol")[:others]:
        directory.suspend(scene.world.services, name, actor=ACTOR)
    scene.world.clock.turn(seconds=6)
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            scene.follow()
        assert caught.value.code == "changes-rewound"
        assert not scene.follower.fresh()


@pytest.mark.parametrize("others", [0, 1, 2], ids=["fewer", "as many", "more"])
def test_a_sequence_that_was_put_back_ends_every_connection(scene: Scene, others: int) -> None:
    """A withdrawal could no longer be found by its number: all connections are ended at once, and new ones refused."""
    directory.suspend(scene.world.services, "carol", actor=ACTOR)
    scene.follow()
    put_back(scene)
    for name in ("alice", "bob")[:others]:
        directory.suspend(scene.world.services, name, actor=ACTOR)
    rounds = 0
    stop = threading.Event()

    def wait(_seconds: float) -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 20:
            stop.set()
        return True

    with capture_logs() as logs:
        scene.follower.run(wait, stop)
    assert sorted(scene.cutter.cut) == [1, 2, 3]
    assert not scene.follower.fresh()
    assert scene.follower.rewound
    assert scene.follower.trouble() == (
        "the database was put back to an older state: live connections were ended, new ones are refused; "
        "find out which changes are lost, then restart the gateway"
    )
    assert [(line["event"], line.get("connections"), line.get("code")) for line in logs] == [
        ("the database was put back to an older state: every live connection is ended", 3, None),
        ("the change sequence cannot be followed", None, "changes-rewound"),
    ]


def test_who_was_admitted_while_the_sequence_was_put_back_is_ended(scene: Scene) -> None:
    """A judgement that was under way then is admitted a moment later, and ends at the next poll."""
    put_back(scene)
    with pytest.raises(IntegrityError):
        scene.follower.step()
    scene.connections.begin(pending(50))
    assert scene.connections.admit(live(50), judged_at=scene.connections.sequence)
    with pytest.raises(IntegrityError):
        scene.follower.step()
    assert sorted(scene.cutter.cut) == [1, 2, 3, 50]


def test_what_was_followed_last_is_written_down(scene: Scene, tmp_path: Path) -> None:
    """The gateway that starts after this one finds out whether the database still holds it."""
    path = tmp_path / "journal"
    scene.connections._journal = Journal(path, boot_id="boot")
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    mark = Journal(path, boot_id="boot").followed.mark
    assert mark.split()[0] == str(scene.world.head())
    assert find_marked(scene.world.services, mark)
    put_back(scene)
    assert not find_marked(scene.world.services, mark)


def test_a_defect_that_stays_is_told_of_once_a_minute(scene: Scene) -> None:
    """An error that was not foreseen fills no log either."""
    stop = threading.Event()
    rounds = 0

    def wait(_seconds: float) -> bool:
        nonlocal rounds
        rounds += 1
        scene.world.clock.turn(seconds=1)
        if rounds == 90:
            stop.set()
        return False

    scene.world.work.broken = RuntimeError("a defect")  # type: ignore[assignment]
    with capture_logs() as logs:
        scene.follower.run(wait, stop)
    assert [line["event"] for line in logs] == [
        "the change sequence cannot be followed; it will be tried again"
    ] * 2
    assert all(isinstance(line["exc_info"], RuntimeError) for line in logs)


def test_a_database_that_is_away_is_told_of_once_a_minute(scene: Scene) -> None:
    """The log has each reason once a minute, and begins again after the database was back."""
    stop = threading.Event()
    rounds = 0

    def wait(_seconds: float) -> bool:
        nonlocal rounds
        rounds += 1
        scene.world.clock.turn(seconds=1)
        code = "store-refused" if rounds == 70 else "store-unavailable"
        scene.world.work.broken = None if rounds == 80 else Unavailable(code, "away")
        if rounds == 90:
            stop.set()
        return False

    with capture_logs() as logs:
        scene.follower.run(wait, stop)
    assert [line["code"] for line in logs] == [
        "store-unavailable",
        "store-unavailable",
        "store-refused",
        "store-unavailable",
    ]


def _raise() -> None:
    raise RuntimeError("a defect")
