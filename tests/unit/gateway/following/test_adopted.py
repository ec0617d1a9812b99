"""A gateway died and the next one adopts its connections: only those end that lost something meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory import nesting
from doorward.directory import principals as directory
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.following import adopted as module
from doorward.gateway.following import follower as following
from doorward.partners.importing import remove_partner
from doorward.stores import policy_snapshot
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.records import ChangeKind
from tests.support.partner_site import GUESTS, hearing
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, OPERATOR, Held, found_world
from tests.unit.gateway.following.conftest import ACTOR, Scene, scene_of
from tests.unit.gateway.following.guests import Guests, connected_guests
from tests.unit.gateway.following.test_sessions import RULES, enter_portal, raise_epoch, sign_in
from tests.unit.gateway.live import pending

CUSTOMERS = """\
      - name: customers read their own
        allow: {groups: [customers]}
        to: {paths: ["/own/**"]}
"""
TWO_GROUPS = DOCUMENT.replace("  sensors:\n    hosts", CUSTOMERS + "  sensors:\n    hosts")
WIDER = "methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"


@dataclass
class Restart:
    """One gateway after the other, over one world and one journal."""

    journal: Path
    scene: Scene

    def connect(self, *names: str) -> None:
        for cookie, name in enumerate(names, 1):
            self.scene.enter(name, cookie)
        self.scene.follow()

    def die(self) -> None:
        """Nothing follows until the next gateway is there."""
        self.scene = replace(self.scene, follower=None)  # type: ignore[arg-type]

    def come_back(self) -> Scene:
        """The next gateway, up to the moment at which the door may open."""
        self.scene = scene_of(self.scene.world, self.journal)
        self.scene.evidence.load_all()
        self.scene.follower.catch_up()
        return self.scene

    def leave_group(self, name: str, group: str) -> None:
        directory.remove_member(self.scene.world.services, group, name, actor=ACTOR)

    def join_group(self, name: str, group: str) -> None:
        directory.add_member(self.scene.world.services, group, name, actor=ACTOR)


@pytest.fixture
def restart(tmp_path: Path) -> Restart:
    """A gateway without connections; groups and rules for them."""
    scene = scene_of(found_world(), tmp_path / "journal")
    scene.apply(TWO_GROUPS)
    scene.follow()
    return Restart(tmp_path / "journal", scene)


# nothing was lost


def test_a_connection_that_lost_nothing_goes_on_as_before(restart: Restart) -> None:
    """Ids, class and decision are those that Envoy has; facts and permissions are known again."""
    restart.connect("alice", "bob")
    before = [restart.scene.live(1), restart.scene.live(2)]
    restart.die()
    scene = restart.come_back()
    assert scene.cutter.cut == []
    for one in before:
        now = scene.live(one.cookie)
        assert now == replace(
            one, subject=now.subject, deadline=now.deadline, permissions=now.permissions, partner_id=""
        )
        assert now.subject is not None
        assert now.subject.principal.id == one.principal_id
        assert now.permissions == one.permissions
        assert not now.adopted
        assert now.ends_at == one.ends_at


def test_until_the_first_step_the_gateway_admits_no_connection(restart: Restart) -> None:
    """The changes were acted on, but nothing follows yet."""
    restart.connect("alice")
    restart.die()
    directory.suspend(restart.scene.world.services, "alice", actor=ACTOR)
    scene = restart.come_back()
    assert not scene.follower.fresh()
    assert scene.follower.seq == scene.world.head()
    assert scene.cutter.cut == [1]
    scene.follow()
    assert scene.follower.fresh()


def test_what_other_people_gain_or_lose_ends_nothing(restart: Restart) -> None:
    """Certificates, groups and orders of others, and of nothing that is connected."""
    restart.connect("alice", "bob")
    restart.die()
    restart.scene.world.issue("carol")
    directory.suspend(restart.scene.world.services, "carol", actor=ACTOR)
    assert restart.come_back().left() == [1, 2]


def test_a_gain_ends_nothing(restart: Restart) -> None:
    """Neither another group nor a wider rule."""
    restart.connect("alice", "bob")
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().left() == [1, 2]
    assert "customers" in restart.scene.live(1).subject.principal.groups  # type: ignore[union-attr]
    restart.scene.follow()
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    assert restart.come_back().left() == [1, 2]


def test_rules_of_another_application_end_nothing(restart: Restart) -> None:
    """An edit, also a narrower one, concerns its own connections."""
    restart.connect("alice")
    restart.scene.enter("sensor-1", 2, "sensors")
    restart.scene.follow()
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]'))
    assert restart.come_back().left() == [2]


def test_without_adopted_connections_earlier_changes_are_not_read(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start, or one after a stop, begins at the end of the sequence."""
    monkeypatch.setattr(module, "find_marked", None)
    restart.die()
    assert restart.come_back().follower.seq == restart.scene.world.head()


# something was lost


def suspended(restart: Restart) -> None:
    """Suspend alice."""
    directory.suspend(restart.scene.world.services, "alice", actor=ACTOR)


def revoked(restart: Restart) -> None:
    """Revoke her certificate."""
    reason = RevocationReason.KEY_COMPROMISE
    certificate = restart.scene.world.held[0].record.id
    revocation.revoke(restart.scene.world.services, certificate, reason, actor=ACTOR)


def held_back(restart: Restart) -> None:
    """Put her certificate on hold."""
    revocation.hold(restart.scene.world.services, restart.scene.world.held[0].record.id, actor=ACTOR)


def out_of_the_group(restart: Restart) -> None:
    """Take her out of the group that the rule names; she would still be admitted by another one."""
    restart.leave_group("alice", "tellers")
    restart.join_group("alice", "customers")


def into_a_denied_group(restart: Restart) -> None:
    """Put her into a group that a rule denies."""
    restart.join_group("alice", "contractors")


def signed_out(restart: Restart) -> None:
    """Sign her out everywhere."""
    who = restart.scene.world.principal("alice").id
    with restart.scene.world.work.change() as stores:
        stores.epochs.raise_for(who, "")
        stores.changes.note(ChangeKind.PRINCIPAL, who, restart.scene.world.clock.now())


@pytest.mark.parametrize(
    "lose", [suspended, revoked, held_back, out_of_the_group, into_a_denied_group, signed_out]
)
def test_only_the_connection_that_lost_something_ends(
    restart: Restart, lose: Callable[[Restart], None]
) -> None:
    """Alice loses something while no gateway follows; bob goes on."""
    restart.connect("alice", "bob")
    restart.die()
    lose(restart)
    scene = restart.come_back()
    assert scene.cutter.cut == [1]
    assert scene.cuts() == ["authority-withdrawn"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]'),
        ("methods: [GET, HEAD]", "methods: [GET]"),
        ("deny: {groups: [contractors]}", "deny: {groups: [tellers]}"),
        ("allow: {groups: [tellers]}", "allow: {groups: [managers]}"),
        ("  payments:\n", "  invoices:\n"),
    ],
)
def test_a_narrower_rule_ends_its_connections(restart: Restart, before: str, after: str) -> None:
    """Also if the id of the rule is the same, because only its paths or methods changed."""
    restart.connect("alice")
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(before, after))
    assert restart.come_back().cutter.cut == [1]


def test_what_was_lost_and_given_back_meanwhile_ends_nothing(restart: Restart) -> None:
    """No gateway followed, and now nothing is missing."""
    restart.connect("alice")
    restart.die()
    restart.leave_group("alice", "tellers")
    restart.join_group("alice", "tellers")
    assert restart.come_back().left() == [1]


def test_what_was_gained_after_the_admission_is_not_kept_either(restart: Restart) -> None:
    """Alice joined a group while she was connected, and lost it while no gateway followed."""
    restart.connect("alice")
    restart.join_group("alice", "customers")
    restart.scene.follow()
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_what_a_followed_edit_gave_is_not_kept_either(restart: Restart) -> None:
    """A rule was widened while she was connected, and narrowed while no gateway followed."""
    restart.connect("alice")
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.follow()
    assert restart.scene.left() == [1]
    restart.die()
    restart.scene.apply(TWO_GROUPS)
    assert restart.come_back().cutter.cut == [1]


def test_what_is_unknown_ends(restart: Restart) -> None:
    """An edit gave her more, and then she changed: what the edit gave her is unknown. An edit elsewhere does not matter."""
    restart.connect("alice", "bob")
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.follow()
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]
    restart.scene.follow()
    restart.scene.apply(
        TWO_GROUPS.replace(*WIDER).replace("allow: {groups: [sensors]}", "allow: {groups: [sensors, meters]}")
    )
    restart.scene.follow()
    restart.die()
    restart.join_group("bob", "customers")
    assert restart.come_back().left() == [2]


def test_a_group_in_a_denied_one_ends_its_members(restart: Restart) -> None:
    """The change names the group, not the person."""
    restart.connect("alice")
    restart.die()
    nesting.nest(restart.scene.world.services, "contractors", "tellers", actor=ACTOR)
    assert restart.come_back().cutter.cut == [1]


def test_a_member_of_a_changed_group_is_compared_by_its_ids(restart: Restart) -> None:
    """By the rules alone she would have been in the outer group before as well."""
    restart.connect("alice")
    directory.create_group(restart.scene.world.services, "customers", actor=ACTOR)
    nesting.nest(restart.scene.world.services, "customers", "tellers", actor=ACTOR)
    restart.scene.follow()
    assert restart.scene.left() == [1]
    restart.die()
    nesting.unnest(restart.scene.world.services, "customers", "tellers", actor=ACTOR)
    assert restart.come_back().cutter.cut == [1]


def test_a_change_while_they_are_judged_is_not_missed(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judgement that already sees the loss must not count as the state before it."""
    monkeypatch.setattr("doorward.gateway.following.reassessing.JUDGED_AT_ONCE", 1)
    for name in ("alice", "bob"):
        restart.join_group(name, "customers")
    restart.connect("alice", "bob")
    restart.die()
    real, done = restart.scene.decider.reassess_all, list[int]()

    def reassess(*given: Any) -> Any:
        done.append(1)
        if len(done) == 2:
            restart.leave_group("bob", "customers")
            restart.leave_group("alice", "customers")
        return real(*given)

    scene = restart.scene = scene_of(restart.scene.world, restart.journal)
    real = scene.decider.reassess_all
    monkeypatch.setattr(scene.decider, "reassess_all", reassess)
    scene.follower.catch_up()
    assert sorted(scene.cutter.cut) == [1, 2]


# time


def test_what_ended_meanwhile_is_ended_first(restart: Restart) -> None:
    """The clock went on."""
    restart.connect("alice")
    ends_at = restart.scene.live(1).ends_at
    restart.die()
    restart.scene.world.clock.turn(seconds=(ends_at - NOON).total_seconds())
    scene = restart.come_back()
    assert scene.cuts() == ["deadline"]


TIMED = DOCUMENT.replace(
    "allow: {groups: [tellers]}",
    'allow: {groups: [tellers], time: {from: "08:00", to: "14:00", zone: UTC}}',
)


def test_a_window_that_closed_meanwhile(restart: Restart) -> None:
    """Also if it is open again when the next gateway comes."""
    restart.scene.apply(TIMED)
    restart.scene.follow()
    restart.connect("alice")
    restart.scene.enter("sensor-1", 2, "sensors")
    restart.scene.follow()
    restart.die()
    restart.scene.world.clock.turn(hours=2)
    scene = restart.come_back()
    assert scene.cuts() == ["deadline"]
    assert scene.left() == [2]


def test_a_window_that_opened_after_the_last_judgement(restart: Restart) -> None:
    """Alice gained by time alone, which the journal does not tell: a change about her ends her connection."""
    rule = 'allow: {groups: [customers], time: {from: "13:00", to: "23:00", zone: UTC}}'
    restart.scene.apply(TWO_GROUPS.replace("allow: {groups: [customers]}", rule))
    for name in ("alice", "bob"):
        restart.join_group(name, "customers")
    restart.scene.follow()
    restart.connect("alice", "bob")
    restart.scene.world.clock.turn(hours=2)
    restart.scene.follow()
    assert len(restart.scene.live(1).permissions.grants) == len(restart.scene.live(1).judged_grants) + 1  # type: ignore[union-attr]
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]
    assert restart.scene.left() == [2]


# sessions


def test_sessions(tmp_path: Path) -> None:
    """Another epoch ends the connection, but not at the portal; a session that ended meanwhile ends it, too."""
    restart = Restart(tmp_path / "journal", scene_of(found_world(), tmp_path / "journal"))
    restart.scene.apply(RULES)
    restart.join_group("carol", "tellers")
    restart.connect("alice", "bob", "carol")
    raise_epoch(restart.scene, "carol")
    restart.scene.enter("carol", 4)
    enter_portal(restart.scene, restart.scene.world.held[0])
    _, bob, *_ = restart.scene.world.held
    sign_in(restart.scene, bob, NOON + timedelta(hours=1))
    restart.die()
    signed_out(restart)
    scene = restart.come_back()
    assert scene.left() == [2, 4, 9]
    assert scene.live(4).sessions.epoch == "0.1.0"
    restart.die()
    restart.scene.world.clock.turn(hours=1)
    scene = restart.come_back()
    assert scene.cuts()[-1] == "deadline"
    assert 2 not in scene.left()


# what cannot be known


def test_a_database_that_was_put_back(restart: Restart) -> None:
    """It lacks the last change that was followed: everything that was admitted may rest on lost changes."""
    restart.connect("alice", "bob")
    restart.die()
    with restart.scene.world.work.change() as stores:
        stores.changes.writable().changes.popitem()  # type: ignore[attr-defined]
    scene = restart.come_back()
    assert sorted(scene.cutter.cut) == [1, 2]
    assert set(scene.cuts()) == {"authority-changed"}
    assert scene.follower.seq == scene.world.head()


@pytest.mark.parametrize("line", [b'{"followed":""}', b'{"followed":"x","revision":1}'])
def test_an_unknown_mark(restart: Restart, line: bytes) -> None:
    """Without it, changes might be missed."""
    restart.connect("alice")
    restart.die()
    with restart.journal.open("ab") as file:
        file.write(line + b"\n")
    if line == b'{"followed":""}':  # a journal that never had one
        lines = [
            one for one in restart.journal.read_bytes().splitlines(keepends=True) if b"followed" not in one
        ]
        restart.journal.write_bytes(b"".join(lines))
    assert restart.come_back().cuts() == ["authority-changed"]


@pytest.mark.parametrize("revision", [-1, 99])
def test_an_unknown_revision(restart: Restart, revision: int) -> None:
    """By an earlier version, or by a database that lost the document."""
    restart.connect("alice")
    mark = restart.scene.connections.followed
    restart.scene.connections.note_followed(replace(mark, revision=revision))
    restart.die()
    assert restart.come_back().cuts() == ["authority-changed"]


def test_a_document_that_cannot_be_read(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules that were in force are unknown."""
    restart.connect("alice")
    restart.die()
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))

    def fail(*_: object) -> None:
        raise policy_snapshot.IntegrityError("revision-unreadable", "not valid")

    monkeypatch.setattr(module, "document_of", fail)
    assert restart.come_back().cuts() == ["authority-changed"]


def test_too_many_former_documents(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them would keep the door shut: a connection that needs one more ends."""
    monkeypatch.setattr(module, "MOST_REVISIONS", 1)
    restart.connect("alice", "bob")
    restart.scene.apply(TWO_GROUPS.replace("allow: {groups: [sensors]}", "allow: {groups: [meters]}"))
    restart.scene.follow()
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_a_bug_in_one_judgement_ends_only_that_one(restart: Restart, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails closed, for this one alone."""
    restart.connect("alice", "bob")
    restart.die()
    scene = restart.scene = scene_of(restart.scene.world, restart.journal)
    real, victim = scene.decider.reassess_all, restart.scene.world.held[0].record.sha256

    def reassess(given: Any, now: datetime) -> Any:
        given = list(given)
        if any(sha256 == victim for _, sha256 in given):
            raise ZeroDivisionError
        return real(given, now)

    monkeypatch.setattr(scene.decider, "reassess_all", reassess)
    scene.follower.catch_up()
    assert scene.cutter.cut == [1]


def test_no_revision_is_written_while_a_newer_one_was_read(
    restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are compared by the newest document, and until its change is acted on older ones are admitted."""
    monkeypatch.setattr(following, "BATCH", 1)
    restart.connect("alice")
    known = restart.scene.connections.followed.revision
    assert known > 0
    restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    restart.scene.apply(TWO_GROUPS)
    restart.scene.follower.step()
    assert restart.scene.connections.followed.revision == -1
    restart.scene.follow()
    assert restart.scene.connections.followed.revision == known + 2


def test_one_admitted_by_a_newer_revision_is_compared_with_that(restart: Restart) -> None:
    """Its judgement read a change that the dead gateway had not followed yet."""
    restart.connect("alice")
    narrow = TWO_GROUPS.replace('paths: ["/accounts/**"]', 'paths: ["/accounts/own/**"]')
    restart.scene.apply(narrow)
    alice = restart.scene.world.held[0]
    enter_late(restart.scene, alice, 9)
    restart.die()
    assert restart.come_back().left() == [9]


def enter_late(scene: Scene, held: Held, cookie: int) -> None:
    """Admit a connection by a change that the follower has not read."""
    begun = pending(cookie, app=scene.world.application_id("payments"), opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der)
    assert scene.connections.admit(LiveConnection.admitted(begun, decision), judged_at=decision.seq)


# what follows


def test_a_later_loss_ends_them_as_any_other(restart: Restart) -> None:
    """They are in every index, with permissions that can be compared."""
    restart.connect("alice", "bob")
    restart.die()
    scene = restart.come_back()
    scene.follow()
    scene.apply(TWO_GROUPS.replace(*WIDER))
    scene.follow()
    assert scene.cutter.cut == []
    suspended(restart)
    scene.follow()
    assert scene.cutter.cut == [1]
    scene.apply(TWO_GROUPS)
    scene.follow()
    assert 2 in scene.cutter.cut


def test_two_restarts(restart: Restart) -> None:
    """What the first one restored, the second one can compare."""
    restart.connect("alice")
    restart.die()
    restart.join_group("alice", "customers")
    assert restart.come_back().left() == [1]
    restart.die()
    assert restart.come_back().left() == [1]
    restart.die()
    restart.leave_group("alice", "customers")
    assert restart.come_back().cutter.cut == [1]


def test_changes_are_acted_on_as_if_it_had_been_alive(restart: Restart) -> None:
    """A policy is published by its own number; a person who wants to show another certificate is cut."""
    restart.connect("alice", "bob")
    one = restart.scene.live(2)
    restart.die()
    seq = restart.scene.apply(TWO_GROUPS.replace(*WIDER))
    choice = CertificateChoice.of(one.application_id, one.sha256, one.source_address)
    CertificateChoiceRecorder(restart.scene.world.services).record(choice, good=True)
    scene = restart.come_back()
    assert scene.published == [seq]
    assert scene.left() == [1]
    assert scene.cuts() == ["another-certificate"]


# connections without a good certificate


PUBLIC = TWO_GROUPS.replace(
    "    rules:\n      - name: tellers", "    public: ['/share/**']\n    rules:\n      - name: tellers"
)


def enter_anonymous(scene: Scene, cookie: int, held: Held | None = None, app: str = "payments") -> None:
    """Admit a connection without a good certificate."""
    application = PORTAL_APPLICATION if app == PORTAL_APPLICATION else scene.world.application_id(app)
    begun = pending(cookie, app=application, opened_at=scene.world.clock.now())
    scene.connections.begin(begun)
    decision = scene.world.decide(held.der if held else None, application_id=application)
    live = LiveConnection.admitted(begun, decision)
    assert live.anonymous
    assert scene.connections.admit(live, judged_at=decision.seq)


@pytest.mark.parametrize(
    ("after", "left"),
    [
        (PUBLIC, [5]),
        (PUBLIC.replace(*WIDER), [5]),
        (PUBLIC.replace("/share/**", "/share/a/**"), []),
        (TWO_GROUPS, []),
    ],
)
def test_public_paths(restart: Restart, after: str, left: list[int]) -> None:
    """A connection without a certificate ends only if public paths were taken away."""
    restart.scene.apply(PUBLIC)
    restart.scene.follow()
    enter_anonymous(restart.scene, 5)
    restart.die()
    restart.scene.apply(after)
    scene = restart.come_back()
    assert scene.left() == left
    assert all(scene.live(one).permissions is not None for one in left)


def test_a_refused_one_ends_if_its_certificate_is_good_now(restart: Restart) -> None:
    """Its peer connects again and is admitted with the certificate."""
    restart.connect("alice")
    held = restart.scene.world.held[0]
    revocation.hold(restart.scene.world.services, held.record.id, actor=ACTOR)
    restart.scene.follow()
    enter_anonymous(restart.scene, 6, held, PORTAL_APPLICATION)
    enter_anonymous(restart.scene, 7, None, PORTAL_APPLICATION)
    restart.die()
    assert restart.come_back().left() == [6, 7]
    restart.die()
    revocation.release(restart.scene.world.services, held.record.id, actor=ACTOR)
    assert restart.come_back().left() == [7]


# people of partners


@dataclass
class GuestRestart:
    """The same for a partner's people: bob (1) and eve (2) of the clinic, and alice (3) with our own certificate."""

    journal: Path
    guests: Guests

    def come_back(self, *, loaded: bool = True) -> Scene:
        """The next gateway, up to the moment at which the door may open."""
        scene = self.guests.scene = scene_of(self.guests.site, self.journal)
        self.guests.site.evidence_cache, self.guests.site.judge = scene.evidence_cache, scene.decider
        if loaded:
            scene.evidence.load_all()
        scene.follower.catch_up()
        return scene


@pytest.fixture
def guests(tmp_path: Path) -> GuestRestart:
    """Connections of all three, and a gateway that died."""
    made = connected_guests(tmp_path / "journal")
    made.scene.follow()
    return GuestRestart(tmp_path / "journal", made)


def test_people_of_a_partner_go_on(guests: GuestRestart) -> None:
    """Their partner is known again, and their deadline is by the newest evidence."""
    before = {one.cookie: one for one in guests.guests.scene.connections.all()}
    scene = guests.come_back()
    assert scene.left() == [1, 2, 3]
    assert {one: scene.live(one).partner_id for one in (1, 2, 3)} == {
        one: before[one].partner_id for one in (1, 2, 3)
    }
    assert scene.live(1).deadline == before[1].deadline


def test_newer_evidence_of_a_partner(guests: GuestRestart) -> None:
    """Bob was put on the list while no gateway followed."""
    guests.guests.site.publish(guests.guests.bob, load=False)
    assert guests.come_back().cutter.cut == [1]
    guests.guests.scene.follow()
    assert guests.guests.scene.left() == [2, 3]


def test_evidence_that_is_not_loaded(guests: GuestRestart) -> None:
    """It fails closed for the partner's people."""
    assert guests.come_back(loaded=False).left() == [3]


def test_evidence_that_expired(guests: GuestRestart) -> None:
    """The clock went on, and no newer list came; it is the deadline of these connections."""
    guests.guests.site.clock.turn(days=2)
    scene = guests.come_back()
    assert scene.left() == []
    assert set(scene.cuts()) == {"deadline"}


def test_a_partner_that_was_removed(guests: GuestRestart) -> None:
    """Its people lose everything."""
    remove_partner(guests.guests.site.services, "clinic", actor=OPERATOR)
    assert guests.come_back().left() == [3]


LOBBY = '      - {name: lobby, allow: {groups: [visitors]}, to: {paths: ["/lobby/**"]}}\n'


@pytest.mark.parametrize(("groups", "left"), [(("visitors",), [3]), (("visitors", "clinicians"), [3, 11])])
def test_terms_that_were_followed_only_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: tuple[str, ...], left: list[int]
) -> None:
    """The gateway died before it judged the partner's people: its mark is past the change of their groups."""
    made = connected_guests(tmp_path / "journal", groups=("clinicians", "visitors"))
    made.scene.apply(hearing("own", "clinic").replace(GUESTS, GUESTS + LOBBY))
    made.scene.follow()
    made.enter(made.bob, 11)
    made.site.bring_in(replacing=True, groups=groups)
    monkeypatch.setattr(made.scene.follower, "_judge_changed_terms", lambda: None)
    made.scene.follower.step()
    made.scene.follower.step()
    assert made.scene.left() == [1, 2, 3, 11]
    assert GuestRestart(tmp_path / "journal", made).come_back().left() == left
