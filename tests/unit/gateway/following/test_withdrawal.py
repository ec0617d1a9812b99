"""Which change ends which connections, and which connections go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.directory import nesting, removal
from doorward.directory import principals as directory
from doorward.gateway.precedence import Precedence
from tests.support.world import DOCUMENT
from tests.unit.gateway.following.conftest import ACTOR, Scene
from tests.unit.gateway.live import live, pending

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


@pytest.mark.parametrize("change", [directory.suspend, removal.remove])
def test_a_principal_that_is_locked_out_loses_every_connection(
    scene: Scene, change: Callable[..., object]
) -> None:
    """Suspending or removing a principal ends all of its connections, and no others."""
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


def nested(scene: Scene) -> None:
    """Carol and the tellers are clerks, and clerks may read the accounts."""
    services = scene.world.services
    directory.add_principal(services, PrincipalKind.PERSON, "zoe", groups=["clerks"], actor=ACTOR)
    nesting.nest(services, "clerks", "tellers", actor=ACTOR)
    scene.apply(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [clerks]}"))
    for cookie, name in enumerate(("alice", "bob", "zoe"), start=1):
        scene.enter(name, cookie)
    scene.follow()


def test_a_change_deep_in_a_group_ends_what_rested_on_it(scene: Scene) -> None:
    """Leaving an inner group takes what the outer one gave."""
    nested(scene)
    directory.remove_member(scene.world.services, "tellers", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]


def test_a_group_taken_out_of_a_group_ends_its_members(scene: Scene) -> None:
    """Members of the outer group only through the inner one lose it; members by another way go on."""
    nested(scene)
    directory.add_member(scene.world.services, "clerks", "bob", actor=ACTOR)
    scene.follow()
    nesting.unnest(scene.world.services, "clerks", "tellers", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]
    assert scene.left() == [2, 3]


@pytest.fixture
def cut_within(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the follower cut while it had precedence, each time that it took it."""
    found: list[list[int]] = []

    @contextmanager
    def taken(_: Precedence) -> Iterator[None]:
        before = len(scene.cutter.cut)
        yield
        found.append(scene.cutter.cut[before:])

    monkeypatch.setattr(Precedence, "taken", taken)
    return found


def test_a_group_taken_out_takes_precedence_until_its_members_are_cut(
    scene: Scene, cut_within: list[list[int]]
) -> None:
    """A change of a group makes void what is known about certificates: many threads would judge new connections beside it."""
    nested(scene)
    nesting.unnest(scene.world.services, "clerks", "tellers", actor=ACTOR)
    scene.follow()
    assert [1, 2] in map(sorted, cut_within)


def test_a_group_put_into_a_denied_one_ends_its_members(scene: Scene) -> None:
    """A deny of the outer group takes from all in the inner one."""
    nesting.nest(scene.world.services, "contractors", "tellers", actor=ACTOR)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1]  # bob was a contractor before
    assert scene.left() == [2, 3]


def test_of_a_group_only_its_members_are_judged_again(scene: Scene) -> None:
    """A change of one group judges only its members again: one that cannot be compared goes on in another group."""
    scene.connections.replace(replace(scene.live(1), permissions=None))
    scene.connections.replace(replace(scene.live(3), permissions=None))
    nesting.nest(scene.world.services, "clerks", "tellers", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]
    assert scene.left() == [2, 3]


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
def test_a_narrowed_rule_ends_connections_that_it_gave_more(scene: Scene, before: str, after: str) -> None:
    """A rule that gives less ends the connections that it gave more; other applications go on."""
    assert before in DOCUMENT
    seq = scene.apply(DOCUMENT.replace(before, after))
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]
    assert scene.left() == [3]
    assert scene.published == [seq]


def test_a_removed_rule_ends_connections_that_it_admitted(scene: Scene) -> None:
    """Without its allow rule no connection stays."""
    text = (
        DOCUMENT.split("      - name: tellers")[0] + "      - name: no" + DOCUMENT.split("- name: no", 1)[1]
    )
    scene.apply(text)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_deny_rule_ends_only_connections_that_lose_by_it(scene: Scene) -> None:
    """A new deny rule for contractors ends bob, a contractor; alice goes on."""
    rule = "      - {name: none, deny: {groups: [contractors]}, to: {paths: [/accounts/7]}}\n"
    scene.apply(DOCUMENT.replace("  sensors:\n    hosts", f"{rule}  sensors:\n    hosts"))
    scene.follow()
    assert scene.cutter.cut == [2]
    assert scene.left() == [1, 3]


def test_new_rules_take_precedence_until_what_they_take_is_cut(
    scene: Scene, cut_within: list[list[int]]
) -> None:
    """Until then no other thread begins to judge a single connection, which would slow down the comparison of thousands."""
    rule = "      - {name: none, deny: {groups: [contractors]}, to: {paths: [/accounts/7]}}\n"
    scene.apply(DOCUMENT.replace("    rules:\n", f"    rules:\n{rule}", 1))
    scene.follow()
    assert [2] in cut_within


def test_an_application_that_is_removed_ends_its_connections(scene: Scene) -> None:
    """Connections to an application end with it."""
    scene.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    scene.follow()
    assert scene.cutter.cut == [3]
    assert scene.left() == [1, 2]


def test_a_widened_policy_ends_no_connection(scene: Scene) -> None:
    """If a change gives more permissions, connections go on and have their new permissions."""
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == []
    one = scene.connections.get(1)
    assert one is not None
    assert one.permissions is not None
    assert any(one.method == "POST" for one in one.permissions.allowed)


def test_what_was_given_is_taken_back_by_comparison(scene: Scene) -> None:
    """A right that came by a first change and goes by a second ends the connection then."""
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == []
    scene.apply(DOCUMENT)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_connection_without_known_permissions_ends_with_any_policy_change(scene: Scene) -> None:
    """It cannot be compared with the new policy."""
    adopted = live(9, application_id=scene.world.application_id("payments"), adopted=True)
    scene.connections.begin(pending(9))
    assert scene.connections.admit(adopted, judged_at=scene.connections.sequence)
    scene.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    scene.follow()
    assert scene.cutter.cut == [9]


def test_a_certificate_issued_to_others_ends_no_connection(scene: Scene) -> None:
    """Issuing is a change that takes nothing from anybody."""
    scene.world.issue("carol")
    scene.follow()
    assert scene.cutter.cut == []
    assert scene.left() == [1, 2, 3]


# gains


MORE = DOCUMENT.replace(
    "  sensors:\n    hosts", "      - {name: m, allow: {groups: [more]}}\n  sensors:\n    hosts"
)


def test_who_gained_goes_on_and_envoy_is_told(scene: Scene) -> None:
    """A gain ends no connection, not even during an upload: publishing is asked for an alias."""
    for cookie in range(10, 30):
        scene.enter("alice", cookie)
    scene.apply(MORE)
    scene.follow()
    assert scene.regrants == []
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == []
    assert scene.regrants
    kept = scene.connections.get(10)
    assert kept is not None
    assert kept.subject is not None
    assert "more" in kept.subject.principal.groups


def test_a_gain_that_is_taken_back_is_a_loss(scene: Scene) -> None:
    """Permissions gained meanwhile count as held: taking them back ends the connection, with an alias or without."""
    scene.apply(MORE)
    scene.follow()
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    directory.remove_member(scene.world.services, "more", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]
    assert scene.cuts() == ["authority-withdrawn"]


def test_gain_and_loss_at_once_is_a_loss(scene: Scene) -> None:
    """A person who joins one group and leaves another is disconnected because of the lost permissions."""
    narrow = MORE.replace("{groups: [more]}}", "{groups: [more]}, to: {paths: [/more]}}")
    scene.apply(narrow)
    scene.follow()
    directory.add_member(scene.world.services, "more", "alice", actor=ACTOR)
    directory.remove_member(scene.world.services, "tellers", "alice", actor=ACTOR)
    scene.follow()
    assert scene.cutter.cut == [1]


# time


OFFICE = 'time: {from: "08:00", to: "18:00", zone: UTC}'
"""It is noon when a scene begins."""
CLOSING = timedelta(hours=6)


def by_day(scene: Scene, word: str = "allow") -> None:
    """Alice and bob may read during the day only, by an allow or by a deny."""
    if word == "allow":
        text = DOCUMENT.replace("allow: {groups: [tellers]}", f"allow: {{groups: [tellers], {OFFICE}}}")
    else:
        night = OFFICE.replace('"08:00", to: "18:00"', '"18:00", to: "08:00"')
        text = DOCUMENT.replace(
            "    rules:\n", f"    rules:\n      - {{deny: {{groups: [tellers], {night}}}}}\n", 1
        )
    scene.apply(text)
    scene.follow()
    assert scene.left() == [1, 2, 3]


@pytest.mark.parametrize("word", ["allow", "deny"])
def test_a_window_that_closes_ends_what_rested_on_it(scene: Scene, word: str) -> None:
    """At that moment and not before; connections without such a rule go on."""
    by_day(scene, word)
    scene.world.clock.turn(hours=6, seconds=-1)
    scene.follow()
    assert scene.cutter.cut == []
    scene.world.clock.turn(seconds=1)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]
    assert scene.left() == [3]


def test_a_window_closes_while_the_database_is_away(scene: Scene) -> None:
    """It is judged by rules in memory: no look-up can keep a window open."""
    by_day(scene)
    scene.world.clock.turn(hours=6)
    scene.world.work.broken = Unavailable("database-away", "the database is away")
    with pytest.raises(Unavailable):
        scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_window_that_opens_ends_no_connection_and_asks_for_aliases(scene: Scene) -> None:
    """A gain ends no connection: Envoy is told of it."""
    evening = OFFICE.replace('"08:00", to: "18:00"', '"18:00", to: "20:00"')
    rule = f"      - {{name: evening, allow: {{groups: [tellers], {evening}}}, to: {{methods: [DELETE]}}}}\n"
    scene.apply(DOCUMENT.replace("    rules:\n", f"    rules:\n{rule}", 1))
    scene.follow()
    told = len(scene.regrants)
    scene.world.clock.turn(hours=6)
    scene.follow()
    assert scene.cutter.cut == []
    assert len(scene.regrants) == told + 1
    scene.world.clock.turn(hours=2)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2], "and what was gained is lost again"


def test_a_clock_that_jumps_over_a_boundary_is_believed(scene: Scene) -> None:
    """Set forward, the window is over at once."""
    by_day(scene)
    scene.world.clock.turn(hours=9)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_clock_that_is_set_back_into_a_denied_time_takes_away(scene: Scene) -> None:
    """Moments that have come may lie in the future again: all connections with rules depending on the time are compared."""
    morning = OFFICE.replace('"08:00", to: "18:00"', '"06:00", to: "11:00"')
    rule = f"      - {{name: m, deny: {{groups: [tellers], {morning}}}}}\n"
    scene.apply(DOCUMENT.replace("    rules:\n", f"    rules:\n{rule}", 1))
    scene.follow()
    assert scene.left() == [1, 2, 3]
    scene.world.clock.present -= timedelta(hours=2)
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_clock_that_was_set_back_is_noticed_until_it_was_acted_on(scene: Scene) -> None:
    """A failure at the first look leaves it to the next one, and is not the last word."""
    morning = OFFICE.replace('"08:00", to: "18:00"', '"06:00", to: "11:00"')
    rule = f"      - {{name: m, deny: {{groups: [tellers], {morning}}}}}\n"
    scene.apply(DOCUMENT.replace("    rules:\n", f"    rules:\n{rule}", 1))
    scene.follow()
    scene.world.clock.present -= timedelta(hours=2)
    compare = scene.follower._reassessor.compare

    def defect(*_: object) -> list[object]:
        raise MemoryError

    scene.follower._reassessor.compare = defect  # type: ignore[assignment,method-assign]
    with pytest.raises(MemoryError):
        scene.follower.step()
    scene.follower._reassessor.compare = compare  # type: ignore[method-assign]
    scene.follow()
    assert sorted(scene.cutter.cut) == [1, 2]


def test_a_connection_says_when_it_ends_by_time_alone(scene: Scene) -> None:
    """Its end is known when it is admitted, and moves with the rules."""
    by_day(scene)
    closes = scene.world.clock.now() + CLOSING
    assert (scene.live(1).ends_at, scene.live(1).changes_at) == (closes, closes)
    scene.apply(DOCUMENT)
    scene.follow()
    assert scene.live(1).ends_at == scene.live(1).deadline > closes
    assert scene.live(1).changes_at is None
