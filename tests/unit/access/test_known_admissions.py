"""Known admissions: what may be repeated, for how long, and what forgets it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.access.decision import AccessDecision, SessionStatus
from doorward.access.known_admissions import LONGEST, KnownAdmissions, is_repeatable, is_repeatable_policy
from doorward.core.entities import Outcome
from doorward.core.names import PORTAL_APPLICATION
from doorward.policy.model import AppPolicy, Effect, Residual, Rule, TcpUpstream, UnixUpstream
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.table import select
from doorward.stores.policy_snapshot import SNAPSHOT_CHANGES
from doorward.stores.records import ChangeKind
from tests.support.policies import read_networks
from tests.support.ports import NOON
from tests.support.world import World, found_world

TELLERS = {"groups": frozenset({"tellers"})}


@pytest.fixture
def world() -> World:
    """A founded authority."""
    return found_world()


def known_in(world: World, **options: int) -> KnownAdmissions[str]:
    """Known admissions that have read the sequence."""
    known = KnownAdmissions[str](**options)
    confirm(known, world)
    return known


def confirm(known: KnownAdmissions[str], world: World) -> int:
    """Read the change sequence."""
    with world.work.read() as stores:
        return known.confirm(stores)


def note(world: World, kind: ChangeKind, subject: str) -> None:
    """Note a change."""
    with world.work.change() as stores:
        stores.changes.note(kind, subject, world.clock.now())


def policy(**changes: object) -> AppPolicy:
    """An application with one rule about a group."""
    rule = Rule(name="r", effect=Effect.ALLOW, selector=select(dict(TELLERS)))
    fields: dict[str, object] = {
        "name": "a",
        "hosts": ("a",),
        "upstream": UnixUpstream(path="/s"),
        "rules": (rule,),
    }
    return AppPolicy(**{**fields, **changes})  # type: ignore[arg-type]  # keywords are passed through


def test_rules_about_the_certificate_alone_are_repeatable() -> None:
    """A rule about a group is; one about the source or a second factor is not, nor is a TCP application."""
    source = select({**TELLERS, "source": read_networks("10.0.0.0/8")})
    factor = Residual(requirements=frozenset({Requirement()}))
    assert is_repeatable_policy(policy())
    for rule in (
        Rule(name="r", effect=Effect.ALLOW, selector=source),
        Rule(name="r", effect=Effect.DENY, selector=source),
        Rule(name="r", effect=Effect.ALLOW, selector=select(dict(TELLERS)), residual=factor),
    ):
        assert not is_repeatable_policy(policy(rules=(rule,)))
    assert not is_repeatable_policy(policy(upstream=TcpUpstream(host="h", port=1)))


def test_only_a_plain_admission_is_repeatable(world: World) -> None:
    """A refusal, a partner's certificate, a session, a time condition, a missing fact: each is judged every time."""
    plain = world.decide(world.issue("alice").der)
    assert is_repeatable(plain, "app_a")
    assert not is_repeatable(plain, PORTAL_APPLICATION)
    assert not is_repeatable(world.decide(world.issue("carol").der), "app_a")
    assert not is_repeatable(world.decide(None), "app_a")
    assert plain.permissions is not None
    assert plain.subject is not None
    partners = replace(plain.subject, principal=replace(plain.subject.principal, name="x/a", partner="par_a"))
    changes: list[dict[str, object]] = [
        {"verdict": replace(plain.verdict, outcome=Outcome.UNDETERMINED)},
        {"anonymous": True},
        {"partner_id": "par_a"},
        {"evidence_index": object()},
        {"subject": None},
        {"subject": partners},
        {"certificate": None},
        {"ends": None},
        {"sessions": SessionStatus(last_end=NOON)},
        {"permissions": None},
        {"permissions": replace(plain.permissions, changes_at=NOON)},
        {"permissions": replace(plain.permissions, loses_at=NOON)},
        {"policy": None},
        {"policy": policy(upstream=TcpUpstream(host="h", port=1))},
    ]
    for change in changes:
        assert not is_repeatable(replace(plain, **change), "app_a"), change  # type: ignore[arg-type]


def keep(world: World, known: KnownAdmissions[str], name: str = "alice", weight: int = 1) -> AccessDecision:
    """Issue a certificate, judge it, and keep its admission under the name."""
    decision = world.decide(world.issue(name).der)
    known.keep(name, decision, f"admission of {name}", weight)
    return decision


def test_an_admission_is_found_until_it_is_old(world: World) -> None:
    """It is found from its judgement on, for ten minutes, and not if the clock was set back."""
    known = known_in(world)
    assert known.find("alice", NOON) is None
    keep(world, known)
    assert known.find("alice", NOON) == "admission of alice"
    assert known.find("alice", NOON + LONGEST - timedelta(seconds=1)) == "admission of alice"
    assert known.find("alice", NOON + LONGEST) is None
    assert len(known) == 0
    keep(world, known)
    assert known.find("alice", NOON - timedelta(seconds=1)) is None


def test_an_admission_ends_with_what_it_rests_on(world: World) -> None:
    """If the certificate ends before that, the admission ends with it; without a known end nothing is kept."""
    known = known_in(world)
    decision = world.decide(world.issue("alice").der)
    known.keep("a", replace(decision, ends=NOON + timedelta(seconds=5)), "value", 1)
    assert known.find("a", NOON + timedelta(seconds=4)) == "value"
    assert known.find("a", NOON + timedelta(seconds=5)) is None
    known.keep("a", replace(decision, ends=None), "value", 1)
    assert known.find("a", NOON) is None


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_each_kind_of_change_forgets_what_it_may_concern(world: World, kind: ChangeKind) -> None:
    """A change that names certificate or principal forgets these; a change of the policy or of groups forgets all."""
    known = known_in(world)
    alice, bob = keep(world, known), keep(world, known, "bob")
    assert alice.certificate is not None
    assert bob.certificate is not None
    subject = alice.certificate.principal_id if kind is ChangeKind.PRINCIPAL else alice.certificate.id
    note(world, kind, subject)
    assert confirm(known, world) == world.head()
    assert known.find("alice", NOON) is None
    others = kind in SNAPSHOT_CHANGES or kind is ChangeKind.GROUP
    assert (known.find("bob", NOON) is None) is others


def test_a_change_before_the_judgement_forgets_nothing(world: World) -> None:
    """What the judgement has seen is no reason to judge again."""
    known = known_in(world)
    note(world, ChangeKind.GROUP, "grp_a")
    keep(world, known)
    confirm(known, world)
    assert known.find("alice", NOON) is not None
    assert confirm(known, world) == world.head()


def test_a_judgement_older_than_the_last_confirmation_is_not_kept(world: World) -> None:
    """A change between the judgement and `keep` may name it, and was read already."""
    known = known_in(world)
    decision = world.decide(world.issue("alice").der)
    note(world, ChangeKind.CERTIFICATE, "crt_other")
    confirm(known, world)
    known.keep("alice", decision, "value", 1)
    assert known.find("alice", NOON) is None


def test_nothing_is_kept_before_the_first_confirmation(world: World) -> None:
    """Before that, a database that is put back could not be noticed."""
    known = KnownAdmissions[str]()
    keep(world, known)
    assert len(known) == 0


def test_an_empty_sequence_is_borne() -> None:
    """Before the authority is founded there is nothing to read."""
    world = found_world()
    world.work.state.changes.clear()
    known = KnownAdmissions[str]()
    assert confirm(known, world) == 0
    note(world, ChangeKind.PRINCIPAL, "per_a")
    assert confirm(known, world) == 1


def test_a_database_that_was_put_back_forgets_everything(world: World) -> None:
    """If the last change that was read is missing, or is another one, no admission is true any more."""
    known = known_in(world)
    keep(world, known)
    confirm(known, world)
    del world.work.state.changes[world.head()]
    assert confirm(known, world) == 0
    assert len(known) == 0
    confirm(known, world)
    keep(world, known)
    confirm(known, world)
    last = world.head()
    world.work.state.changes[last] = replace(world.work.state.changes[last], subject="crt_other")
    confirm(known, world)
    assert len(known) == 0


def test_memory_is_bounded(world: World) -> None:
    """The admission that was not used for longest leaves first; one that is too large is not kept."""
    known = known_in(world, most_bytes=10)
    keep(world, known, "alice", 4)
    keep(world, known, "bob", 4)
    assert known.find("alice", NOON) is not None
    keep(world, known, "alice", 7)  # in place of the lighter one, so bob's leaves
    assert known.find("bob", NOON) is None
    assert known.find("alice", NOON) is not None
    keep(world, known, "bob", 11)
    assert len(known) == 0
