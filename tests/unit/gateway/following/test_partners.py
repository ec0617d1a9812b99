"""The follower and partners: newer evidence, other terms, and the connections that they end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from doorward.access.decision import AccessDecision
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.gateway.connections.registry import LiveConnection
from doorward.gateway.following import reassessing as module
from doorward.partners.importing import remove_partner
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import CertifiedKey, certify
from tests.support.ports import NOON
from tests.support.world import OPERATOR
from tests.unit.gateway.following.conftest import ACTOR
from tests.unit.gateway.following.guests import Guests, connected_guests
from tests.unit.gateway.live import pending


@pytest.fixture
def guests() -> Guests:
    """Connections of bob and eve of the clinic, and of alice with our own certificate."""
    return connected_guests()


def late(follow: Callable[[], int]) -> Callable[[], int]:
    """A follower's look at the sequence, of which the first comes too early."""
    looks = itertools.count()
    return lambda: follow() if next(looks) else 0


# evidence


def test_newer_evidence_ends_connections_of_revoked_certificates(guests: Guests) -> None:
    """Bob is on the newer list: his connection ends when it is in place; eve and alice go on."""
    guests.site.publish(guests.bob, load=False)
    guests.scene.follow()
    assert guests.scene.cutter.cut == []
    guests.load()
    guests.scene.follow()
    assert guests.scene.cutter.cut == [1]
    assert guests.scene.left() == [2, 3]


def test_evidence_is_confirmed_only_once_it_is_acted_on(guests: Guests) -> None:
    """Until the connections were judged by it its number is pending, however far the follower is."""
    seq = guests.site.publish(guests.bob, load=False)
    guests.scene.follow()
    assert guests.scene.follower.seq >= seq
    first = guests.scene.evidence.pending()
    assert first is not None
    assert first <= seq
    guests.load()
    assert guests.scene.evidence.pending() == first
    guests.scene.confirmed.clear()
    guests.scene.follow()
    assert guests.scene.evidence.pending() is None
    assert guests.scene.confirmed


def test_a_failure_in_acting_on_evidence_keeps_it_pending(guests: Guests) -> None:
    """Evidence that could not be acted on is acted on again in the next step."""
    guests.site.publish(guests.bob, load=False)
    guests.scene.follow()
    guests.load()

    def defect() -> None:
        raise RuntimeError("a defect")

    guests.scene.cutter.before = defect
    with pytest.raises(RuntimeError):
        guests.scene.follower.step()
    assert guests.scene.evidence.pending() is not None
    guests.scene.cutter.before = lambda: None
    guests.scene.follow()
    assert guests.scene.evidence.pending() is None
    assert [one.cookie for one in guests.scene.connections.condemned()] == [1]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """People are judged one at a time, and withdrawals are looked for in between."""
    monkeypatch.setattr(module, "JUDGED_AT_ONCE", 1)


def test_a_withdrawal_does_not_wait_for_a_partners_evidence(guests: Guests, one_by_one: None) -> None:
    """A withdrawal during the judgements of a partner's many connections takes effect in between, not afterwards."""
    guests.site.publish(guests.bob, guests.eve, load=False)
    guests.scene.follow()
    guests.load()

    def withdraw() -> None:
        guests.scene.cutter.before = lambda: None
        directory.suspend(guests.site.services, "alice", actor=ACTOR)

    guests.scene.cutter.before = withdraw
    guests.scene.follower.step()
    assert guests.scene.cutter.cut == [1, 3, 2]


def test_newer_evidence_moves_the_end(guests: Guests) -> None:
    """A partner's connections last as long as the newest evidence says, longer or shorter; ours as before."""
    before = {one.cookie: one.deadline for one in guests.scene.connections.all()}
    for hours in (9, 2):
        guests.site.publish(lifetime=timedelta(hours=hours), load=False)
        guests.scene.follow()
        guests.load()
        guests.scene.follow()
        after = {one.cookie: one.deadline for one in guests.scene.connections.all()}
        assert after == {
            1: NOON + timedelta(hours=hours),
            2: NOON + timedelta(hours=hours),
            3: before[3],
        }


def test_one_partners_evidence_affects_no_other(guests: Guests) -> None:
    """A judgement of another person is not held up by it; one of that partner's people is."""
    before = guests.scene.connections.sequence
    app = guests.site.application_id("payments")
    for cookie in (50, 51):
        guests.scene.connections.begin(pending(cookie, app=app))
    guests.site.publish(load=False)
    guests.scene.follow()
    (own,) = [one for one in guests.scene.connections.all() if one.cookie == 3]
    (theirs,) = [one for one in guests.scene.connections.all() if one.cookie == 2]
    assert guests.scene.connections.admit(replace(own, cookie=50), judged_at=before)
    assert not guests.scene.connections.admit(replace(theirs, cookie=51), judged_at=before)


# terms


def test_of_many_the_first_are_ended_first(guests: Guests, one_by_one: None) -> None:
    """Connections that lost permissions are ended before the next ones are judged, so none waits for a whole large partner."""
    left: list[int] = []
    guests.scene.cutter.before = lambda: left.append(len(guests.scene.connections.all()))
    guests.site.bring_in(replacing=True, groups=())
    guests.scene.follow()
    assert left == [2, 1]


def test_a_withdrawal_does_not_wait_for_a_partners_terms(guests: Guests, one_by_one: None) -> None:
    """A withdrawal during the judgements of a partner's many people by new terms takes effect in between."""
    follower = guests.scene.follower
    acted_then: list[int] = []

    def withdraw() -> None:
        guests.scene.cutter.before = lambda: None
        acted_then.append(follower.seq)
        directory.suspend(guests.site.services, "alice", actor=ACTOR)

    guests.scene.cutter.before = withdraw
    before = follower.seq
    guests.site.bring_in(replacing=True, groups=())
    follower.step()
    assert guests.scene.cutter.cut == [1, 3, 2]
    assert acted_then == [before]  # neither confirmed nor published while some are not judged
    assert follower.seq == guests.site.head()


def test_terms_that_change_again_meanwhile_are_judged_by_again(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, one_by_one: None
) -> None:
    """People judged by terms that changed again are judged again, and nothing is confirmed before."""
    follower, reassess = guests.scene.follower, module.Reassessor.judge

    def change(self: module.Reassessor, connections: list[LiveConnection]) -> None:
        reassess(self, connections)
        if any(one.cookie == 1 for one in connections):
            monkeypatch.setattr(module.Reassessor, "judge", reassess)
            guests.site.bring_in(replacing=True, groups=())

    monkeypatch.setattr(module.Reassessor, "judge", change)
    before = follower.seq
    guests.site.bring_in(replacing=True, refresh=timedelta(minutes=5))
    assert follower.step()
    assert guests.scene.left() == [1, 3]  # bob was judged by the terms before
    assert follower.seq == before
    guests.scene.follow()
    assert guests.scene.left() == [3]
    assert follower.seq == guests.site.head()


def test_a_failure_in_judging_by_terms_makes_the_gateway_stale(guests: Guests) -> None:
    """New connections are refused until it succeeds; withdrawals and evidence of others are still acted on."""
    follower = guests.scene.follower

    def defect() -> None:
        raise RuntimeError("a defect")

    before = follower.seq
    guests.site.publish(guests.eve, load=False)
    guests.scene.follow()
    guests.load()
    guests.site.bring_in(replacing=True, groups=())
    guests.scene.cutter.before = defect
    with pytest.raises(RuntimeError):
        follower.step()
    assert not follower.fresh()
    assert (
        follower.trouble()
        == "the connections of a partner's people cannot be judged again: new connections are refused"
    )
    assert follower.seq < guests.site.head()
    guests.scene.cutter.before = lambda: None
    guests.scene.follow()
    assert follower.fresh()
    assert follower.seq == guests.site.head() > before
    assert guests.scene.left() == [3]


def break_down(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, error: Exception, *, at: CertifiedKey
) -> None:
    """Make the judgement of one certificate raise, alone or together with others."""
    decider = guests.scene.decider
    reassess_all = decider.reassess_all

    def broken(facts: Sequence[tuple[LiveConnection, str]], now: datetime) -> list[AccessDecision]:
        if any(sha256 == at.parsed.sha256 for _, sha256 in facts):
            raise error
        return reassess_all(facts, now)

    monkeypatch.setattr(decider, "reassess_all", broken)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), RecursionError(), KeyError("x")])
def test_who_cannot_be_judged_for_a_defect_is_ended_alone(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Bob's connections end with a line in the log; others are judged, and new ones are let in."""
    guests.enter(guests.bob, 4)
    break_down(guests, monkeypatch, error, at=guests.bob)
    guests.site.bring_in(replacing=True, refresh=timedelta(minutes=5))
    with capture_logs() as logs:
        guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 4]
    assert guests.scene.cuts() == ["authority-withdrawn"] * 2
    assert guests.scene.left() == [2, 3]
    (line,) = logs
    assert (line["log_level"], line["certificate_sha256"]) == ("error", guests.bob.parsed.sha256)
    assert line["exc_info"]
    assert guests.scene.follower.fresh()
    assert guests.scene.follower.seq == guests.site.head()


def test_a_defect_in_one_judgement_keeps_no_loss_of_another_from_being_seen(
    guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who are judged in one go with it are judged by the new terms, and end where they lost."""
    break_down(guests, monkeypatch, RuntimeError("a defect"), at=guests.bob)
    guests.site.bring_in(replacing=True, groups=())
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]
    assert guests.scene.left() == [3]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "error", [Unavailable("database-unavailable", "away"), MemoryError(), OSError(24, "too many open files")]
)
def test_what_says_nothing_about_a_connection_ends_none(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, error: Exception, *, alone: bool
) -> None:
    """If the machine lacks memory or files, new connections are refused, none is ended, and it is tried again."""
    decider = guests.scene.decider
    reassess_all = decider.reassess_all

    def broken(facts: Sequence[tuple[LiveConnection, str]], now: datetime) -> list[AccessDecision]:
        raise RuntimeError("a defect") if alone and len(facts) > 1 else error

    monkeypatch.setattr(decider, "reassess_all", broken)
    guests.site.bring_in(replacing=True, groups=())
    with pytest.raises(type(error)):
        guests.scene.follower.step()
    assert not guests.scene.follower.fresh()
    assert guests.scene.cutter.cut == []
    monkeypatch.setattr(decider, "reassess_all", reassess_all)
    guests.scene.follow()
    assert guests.scene.follower.fresh()
    assert sorted(guests.scene.cutter.cut) == [1, 2]


def test_what_was_read_while_people_were_judged_is_confirmed(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, one_by_one: None
) -> None:
    """A withdrawal in between is confirmed in the same step, so a command that waits for it returns."""
    guests.site.bring_in(replacing=True, refresh=timedelta(minutes=5))
    guests.scene.follower._follow()
    directory.suspend(guests.site.services, "alice", actor=ACTOR)
    monkeypatch.setattr(guests.scene.follower, "_follow", late(guests.scene.follower._follow))
    guests.scene.confirmed.clear()
    guests.scene.follower.step()
    assert guests.scene.cutter.cut == [3]
    assert guests.scene.confirmed


def test_an_intermediate_that_is_dropped_takes_its_people(guests: Guests) -> None:
    """If a partner's authorities are replaced, connections without a path any more end at once."""
    newer = certify("clinic Second", guests.site.root)
    guests.site.bring_in(replacing=True, intermediates=[newer])
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]
    assert guests.scene.left() == [3]


def test_another_rule_of_names_ends_people_without_a_name(guests: Guests) -> None:
    """A person named by e-mail address has no identity if terms read DNS names."""
    guests.site.bring_in(replacing=True, source=SanSource.DNS)
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]


def test_turning_everyone_off_ends_no_one_in_the_directory(guests: Guests) -> None:
    """Those who came by themselves stay until they are removed, each by one command."""
    guests.site.bring_in(replacing=True, everyone=False)
    guests.scene.follow()
    assert guests.scene.cutter.cut == []
    removal.remove(guests.site.services, "clinic/bob@clinic.example", actor=ACTOR)
    guests.scene.follow()
    assert guests.scene.cutter.cut == [1]


def test_a_group_that_the_partner_loses(guests: Guests) -> None:
    """If the terms no longer put people into a group, they lose the permissions of the group."""
    guests.site.bring_in(replacing=True, groups=())
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]


def test_required_evidence_ends_connections_without_evidence() -> None:
    """If evidence becomes required and there is none, no connection stays."""
    guests = Guests(revocation=RevocationMode.OFF, publish=False)
    guests.enter(guests.bob, 1)
    guests.site.bring_in(replacing=True, revocation=RevocationMode.REQUIRE)
    guests.scene.follow()
    assert guests.scene.cutter.cut == [1]


def test_a_removed_partner_takes_its_people(guests: Guests) -> None:
    """All of the partner's connections end, without any look at its evidence."""
    remove_partner(guests.site.services, "clinic", actor=OPERATOR)
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]
    assert guests.scene.left() == [3]


def test_a_document_that_hears_the_partner_no_more(guests: Guests) -> None:
    """Its people lose the application at once."""
    guests.site.hear("own")
    guests.scene.follow()
    assert sorted(guests.scene.cutter.cut) == [1, 2]


def test_no_connection_is_kept_longer_for_a_younger_one_of_the_same_certificate() -> None:
    """If connections are judged again together, each still ends at its own lifetime."""
    guests = Guests(revocation=RevocationMode.OFF)
    guests.enter(guests.bob, 1)
    guests.site.clock.turn(hours=8)
    guests.enter(guests.bob, 2)
    guests.site.bring_in(replacing=True, revocation=RevocationMode.OFF, refresh=timedelta(minutes=5))
    guests.scene.follow()
    deadlines = {one.cookie: one.deadline for one in guests.scene.connections.all()}
    lifetime = timedelta(hours=12)
    assert deadlines == {1: NOON + lifetime, 2: NOON + timedelta(hours=8) + lifetime}


def test_another_identity_by_new_terms_ends_the_connection() -> None:
    """If the terms now read another identity, the connection ends: its application got the old one."""
    guests = Guests(revocation=RevocationMode.OFF)
    guests.enter(guests.bob, 1)
    directory.add_principal(
        guests.site.services, PrincipalKind.PERSON, "clinic/CN=bob@clinic.example", actor=OPERATOR
    )
    guests.site.bring_in(replacing=True, revocation=RevocationMode.OFF, source=SanSource.SUBJECT)
    guests.scene.follow()
    assert guests.scene.left() == []
