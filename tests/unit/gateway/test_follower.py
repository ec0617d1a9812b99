"""The follower over a founded world: who is ended by which change, who is not, and what a failure leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import directory, gateways, policies, revocation
from doorward.authority.access import AccessDecider
from doorward.authority.records import ChangeKind, ChangeRecord
from doorward.authority.shelves import Shelves
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.core.ports import KeyKind
from doorward.gateway import follower as module
from doorward.gateway.connections import Connections
from doorward.gateway.ending import Ending
from doorward.gateway.evidence_loader import EvidenceLoader
from doorward.gateway.follower import PACE_PER_TICK, POLL_SECONDS, Follower
from doorward.pki.csr import build_csr
from tests.support.cutting import FakeCutter
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, Held, World, found_world
from tests.unit.gateway.live import live, pending
from tests.unit.gateway.standing import enter

ACTOR = "os:1000"
GATEWAY = "gtw_" + "a" * 20


@dataclass
class Scene:
    """A follower with everything around it in reach."""

    world: World
    connections: Connections
    cutter: FakeCutter
    follower: Follower
    shelves: Shelves
    evidence: EvidenceLoader
    published: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)

    def enter(self, name: str, cookie: int, app: str = "payments") -> Held:
        held = self.world.issue(name)
        self.follow()
        enter(self.world, self.connections, held, cookie, app=app)
        return held

    def follow(self) -> None:
        """Act on all that changed."""
        while self.follower.step():
            pass

    def apply(self, text: str) -> int:
        return policies.apply_document(self.world.services, text, file="test.yaml", actor=ACTOR).seq

    def left(self) -> list[int]:
        return sorted(one.cookie for one in self.connections.all())

    def cuts(self) -> list[str]:
        return [str(event.data["reason"]) for event in self.world.events(EventType.CONNECTION_CUT)]


def scene_of(world: World) -> Scene:
    """A follower that starts at the present head of the sequence."""
    connections = Connections(sequence=world.head())
    cutter = FakeCutter()
    ending = Ending(world.services, GATEWAY, connections, cutter)  # type: ignore[arg-type]
    shelves = Shelves(world.services.work)
    evidence = EvidenceLoader(world.services, shelves)
    scene = Scene(world, connections, cutter, None, shelves, evidence)  # type: ignore[arg-type]
    scene.follower = Follower(
        world.services,
        AccessDecider(world.services, shelves),
        connections,
        ending,
        publish=scene.published.append,
        order_changed=lambda: scene.orders.append(1),
        evidence=scene.evidence,
        confirm=lambda: scene.confirmed.append(scene.follower.seq),
        max_staleness=timedelta(seconds=5),
        lifetime=timedelta(hours=12),
        gateway_id=GATEWAY,
    )
    return scene


@pytest.fixture
def scene() -> Scene:
    """Alice and bob are tellers of payments, a sensor reports to sensors; all are connected."""
    made = scene_of(found_world())
    made.enter("alice", 1)
    made.enter("bob", 2)
    made.enter("sensor-1", 3, "sensors")
    return made


# who is ended by what


def test_a_revoked_certificate_ends_its_connections(scene: Scene) -> None:
    """Revocation ends the connections of that certificate and of no other, also of the same person."""
    other = scene.enter("alice", 4)
    scene.enter("alice", 5)
    seq = revocation.revoke(
        scene.world.services, other.record.id, RevocationReason.KEY_COMPROMISE, actor=ACTOR
    )
    scene.follow()
    assert scene.cutter.cut == [4]
    assert scene.left() == [1, 2, 3, 5]
    assert scene.cuts() == ["authority-withdrawn"]
    assert scene.follower.seq == seq


def test_a_held_certificate_ends_its_connections(scene: Scene) -> None:
    """A certificate on hold carries nothing."""
    held = scene.enter("alice", 4)
    revocation.hold(scene.world.services, held.record.id, actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [4]


@pytest.mark.parametrize("change", [directory.suspend, directory.remove])
def test_a_principal_that_is_locked_out_loses_every_connection(
    scene: Scene, change: Callable[..., object]
) -> None:
    """Suspending or removing somebody ends all of their connections, and nobody else's."""
    scene.enter("alice", 4)
    change(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 4]
    assert scene.left() == [2, 3]


def test_a_group_that_is_taken_ends_what_rested_on_it(scene: Scene) -> None:
    """Leaving a group ends the connections that were admitted for it."""
    directory.remove_member(scene.world.services, "tellers", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]


def test_a_group_that_a_rule_denies_ends_what_it_takes(scene: Scene) -> None:
    """Joining a group that is denied something is a loss."""
    directory.add_member(scene.world.services, "contractors", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]'),
        ("methods: [GET, HEAD]", "methods: [HEAD]"),
        ("allow: {groups: [tellers]}", "allow: {groups: [clerks]}"),
        ("allow: {groups: [tellers]}", "deny: {groups: [tellers]}"),
    ],
    ids=["narrower-path", "fewer-methods", "another-group", "denied"],
)
def test_a_narrowed_rule_ends_whom_it_gave_more(scene: Scene, before: str, after: str) -> None:
    """A rule that gives less ends the connections that it gave more; other applications go on."""
    assert before in DOCUMENT
    seq = scene.apply(DOCUMENT.replace(before, after))
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]
    assert scene.left() == [3]
    assert scene.published == [seq]


def test_a_rule_that_is_removed_ends_whom_it_admitted(scene: Scene) -> None:
    """Without its allow rule nobody stays."""
    text = (
        DOCUMENT.split("      - name: tellers")[0] + "      - name: no" + DOCUMENT.split("- name: no", 1)[1]
    )
    scene.apply(text)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_deny_rule_ends_only_whom_it_takes_from(scene: Scene) -> None:
    """A new deny rule for contractors ends bob, who is one; alice goes on."""
    rule = "      - {name: none, deny: {groups: [contractors]}, to: {paths: [/accounts/7]}}\n"
    scene.apply(DOCUMENT.replace("  sensors:\n    hosts", f"{rule}  sensors:\n    hosts"))
    scene.follow()
    assert scene.cutter.cut == [2]
    assert scene.left() == [1, 3]


def test_an_application_that_is_removed_ends_its_connections(scene: Scene) -> None:
    """Connections to an application end with it."""
    scene.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    scene.follow()
    assert scene.cutter.cut == [3]
    assert scene.left() == [1, 2]


def test_a_widened_policy_ends_nobody(scene: Scene) -> None:
    """Where a change gives more, connections go on and their authority is kept as it is now."""
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == []
    one = scene.connections.get(1)
    assert one is not None
    assert one.authority is not None
    assert any(term.method == "POST" for term in one.authority.allowed)


def test_what_was_given_is_taken_back_by_comparison(scene: Scene) -> None:
    """A right that came by a first change and goes by a second ends the connection then."""
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == []
    scene.apply(DOCUMENT)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_connections_of_an_earlier_run_end_with_any_policy_change(scene: Scene) -> None:
    """What was adopted from the journal cannot be compared, so a new policy ends it."""
    adopted = live(9, application_id=scene.world.application_id("payments"), adopted=True)
    scene.connections.begin(pending(9))
    assert scene.connections.admit(adopted, judged_at=scene.connections.sequence)
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == [9]


def test_a_certificate_issued_to_others_ends_nobody(scene: Scene) -> None:
    """Issuing is a change that takes nothing from anybody."""
    scene.world.issue("carol")
    scene.follow()
    assert scene.cutter.cut == []
    assert scene.left() == [1, 2, 3]


# gains


def test_who_gained_is_ended_at_a_pace(scene: Scene) -> None:
    """Whoever gained something is ended a few at a time, so that they come back with new grants."""
    count = PACE_PER_TICK + 2
    for cookie in range(10, 10 + count):
        scene.enter("alice", cookie)
    scene.apply(DOCUMENT + "      - {name: more, allow: {groups: [more]}}\n")
    scene.follow()
    directory.create_group(scene.world.services, "more", actor=ACTOR)
    gaining = DOCUMENT.replace(
        "  sensors:\n    hosts", "      - {name: m, allow: {groups: [more]}}\n  sensors:\n    hosts"
    )
    scene.apply(gaining)
    scene.follow()
    assert scene.cutter.cut == []
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    assert len(scene.cutter.cut) == PACE_PER_TICK
    scene.follow()
    assert len(scene.cutter.cut) == PACE_PER_TICK
    scene.world.clock.turn(seconds=POLL_SECONDS)
    scene.follow()
    assert len(scene.cutter.cut) == count + 1
    assert 2 in scene.left()
    assert set(scene.cuts()) == {"authority-changed"}


def test_a_gain_taken_back_in_time_ends_nobody(scene: Scene) -> None:
    """Who gained a grant, and lost it again before its turn came without losing anything by it, goes on."""
    same = '      - {name: m, allow: {groups: [more]}, to: {methods: [GET], paths: ["/accounts/**"]}}\n'
    scene.apply(DOCUMENT.replace("  sensors:\n    hosts", f"{same}  sensors:\n    hosts"))
    scene.follow()
    for cookie in range(10, 10 + PACE_PER_TICK):
        scene.enter("alice", cookie)
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    assert len(scene.cutter.cut) == PACE_PER_TICK
    assert len(scene.left()) == 3
    directory.remove_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    scene.world.clock.turn(seconds=1)
    scene.follow()
    assert len(scene.left()) == 3


def test_gains_are_not_starved_by_other_changes(scene: Scene) -> None:
    """A sequence that never rests does not keep back whoever waits for new grants."""
    gaining = DOCUMENT.replace(
        "  sensors:\n    hosts", "      - {name: m, allow: {groups: [more]}}\n  sensors:\n    hosts"
    )
    scene.apply(gaining)
    scene.follow()
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.world.issue("carol")
    assert scene.follower.step() is False
    assert scene.cutter.cut == [1]


# what is asked of others


def test_an_order_wakes_publishing_and_concerns_nobody(scene: Scene) -> None:
    """A server certificate's order is passed on; no judgement is held up by it."""
    gateway = scene.world.gateway()
    request = build_csr(scene.world.services.factory.generate(KeyKind.P256), "payments.corp.example")
    before = scene.connections.sequence
    scene.connections.begin(pending(50))
    gateways.place_order(scene.world.services, gateway.id, "payments", ["payments.corp.example"], request)
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
    """What one judgement finds holds for every connection of the same certificate, application and address."""
    held = scene.enter("alice", 10)
    for cookie in range(11, 20):
        enter(scene.world, scene.connections, held, cookie)
    directory.suspend(scene.world.services, "alice", actor=ACTOR)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, *range(10, 20)]


def test_every_connection_is_compared_with_a_policy(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loses is ended, whichever part of the registry is compared first."""
    monkeypatch.setattr(module, "COMPARED_AT_ONCE", 2)
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
    """The change is noted before anybody is ended: what is judged at that moment is judged again."""
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


def test_a_policy_change_concerns_everybody(scene: Scene) -> None:
    """No judgement made under the old policy is admitted under the new one."""
    before = scene.connections.sequence
    scene.connections.begin(pending(62))
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert not scene.connections.admit(live(62), judged_at=before)


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_kinds_of_change_concern_whom_they_name_or_everybody(kind: ChangeKind) -> None:
    """Policy, applications and our own authority concern everybody; all others only whom they name."""
    change = ChangeRecord(seq=1, tenant="ten_default", kind=kind, subject="x", at=NOON)
    narrow = kind not in {ChangeKind.AUTHORITY, ChangeKind.APPLICATION, ChangeKind.POLICY}
    assert module.concerned_by([change]) == (frozenset({"x"}) if narrow else None)


# failures


def test_a_follower_that_read_nothing_yet_is_not_fresh(scene: Scene) -> None:
    """Before the first reading nobody is let in."""
    fresh = scene_of(scene.world).follower
    assert not fresh.fresh()
    fresh.step()
    assert fresh.fresh()


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
    """What resists its end has no authority any more and waits for the reconciler."""
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
    assert ran == [POLL_SECONDS] * 5
    assert scene.follower.seq == scene.world.head()
    assert 2 in scene.cutter.cut


def _raise() -> None:
    raise RuntimeError("a defect")
