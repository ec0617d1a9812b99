"""Which notices there are: once for each threshold, of the newest certificate only, about one person only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import issuing, revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import MalformedInput, NotFound
from doorward.directory.mail_addresses import set_mail_address
from doorward.directory.notice_planning import (
    NoticePlanner,
    NoticeRules,
    find_threshold,
    list_notices,
    load_digest,
    load_ending,
)
from doorward.directory.principals import suspend
from doorward.directory.removal import remove
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World, found_world

DAY = timedelta(days=1)
RULES = NoticeRules(days=(30, 14, 7, 1), mail=True)


@pytest.fixture
def world() -> World:
    """A founded authority; alice and bob have certificates of 90 days, alice an address."""
    made = found_world()
    for name in ("alice", "bob"):
        made.issue(name)
    set_mail_address(made.services, "alice", "alice@corp.example", actor=OPERATOR)
    return made


def marks(world: World) -> list[str]:
    """Return the channel and the threshold of each notice, oldest first."""
    found = [(one.created_at, one.channel.value, one.days) for one in list_notices(world.services)]
    return [f"{channel} {days}" for _, channel, days in sorted(found)]


def test_each_threshold_once(world: World) -> None:
    """A planner that runs each hour of a certificate's life, and is restarted each day, plans four mails."""
    planner = NoticePlanner(world.services, RULES)
    for hour in range(92 * 24):
        if hour % 24 == 0:
            planner = NoticePlanner(world.services, RULES)
        planner.plan()
        world.clock.turn(hours=1)
    assert marks(world) == ["mail 30", "mail 14", "mail 7", "mail 1"]


def test_only_the_last_of_several_thresholds_counts(world: World) -> None:
    """After a pause of serve there is one mail, not one for each threshold that was passed."""
    world.clock.turn(days=85)
    NoticePlanner(world.services, RULES).plan()
    assert marks(world) == ["mail 7"]


def test_nothing_is_planned_without_an_address(world: World) -> None:
    """Bob has none; one that is added later counts within an hour."""
    world.clock.turn(days=77)
    planner = NoticePlanner(world.services, RULES)
    assert planner.plan() == 1
    set_mail_address(world.services, "bob", "bob@corp.example", actor=OPERATOR)
    world.clock.turn(hours=1)
    assert planner.plan() == 1
    assert marks(world) == ["mail 14", "mail 14"]


def test_a_threshold_is_noticed_between_two_looks_at_everything(world: World) -> None:
    """Within the minutes between two runs, and once; also if the clock went back meanwhile."""
    world.clock.turn(days=75, hours=23, minutes=50)
    planner = NoticePlanner(world.services, RULES)
    assert planner.plan() == 1  # the one of 30 days
    added = []
    for minutes in (5, 5, 5, -15, 5, 5, 5):
        world.clock.turn(minutes=minutes)
        added.append(planner.plan())
    assert added == [0, 1, 0, 0, 0, 0, 0]
    assert marks(world) == ["mail 30", "mail 14"]


def test_a_webhook_hears_of_everybody(world: World) -> None:
    """It needs no address; both channels have their own marks."""
    world.clock.turn(days=77)
    NoticePlanner(world.services, replace(RULES, webhook=True)).plan()
    assert marks(world) == ["mail 14", "webhook 14", "webhook 14"]


def test_no_threshold_before_the_last_third() -> None:
    """A certificate of a week is told about on its last day only, one of an hour never."""
    world = found_world()
    for life, reached in ((7 * DAY, [1]), (timedelta(hours=1), []), (365 * DAY, [30, 14, 7, 1])):
        services = replace(world.services, lifetimes={"person": life})
        record = issuing.issue(services, world.csr(), world.claim("alice")).record
        steps = (
            record.not_before + (record.not_after - record.not_before) * step / 1000 for step in range(1001)
        )
        found = dict.fromkeys(find_threshold(record, at, RULES.days) for at in steps)
        assert [one for one in found if one is not None] == reached
        assert find_threshold(record, record.not_after, RULES.days) is None


def test_what_is_renewed_revoked_or_suspended_is_not_told(world: World) -> None:
    """Neither planned, nor sent if it was planned before."""
    set_mail_address(world.services, "bob", "bob@corp.example", actor=OPERATOR)
    carol = world.issue("carol")
    set_mail_address(world.services, "carol", "carol@corp.example", actor=OPERATOR)
    world.clock.turn(days=77)
    planner = NoticePlanner(world.services, RULES)
    assert planner.plan() == 3
    notices = list_notices(world.services)
    assert all(load_ending(world.services, one, RULES) for one in notices)
    alice = world.certificate(world.held[0])
    issuing.issue(world.services, world.csr(), issuing.RenewalClaim(actor=OPERATOR, certificate=alice))
    suspend(world.services, "bob", actor=OPERATOR)
    revocation.revoke(world.services, carol.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert [load_ending(world.services, one, RULES) for one in notices] == [None] * 3
    world.clock.turn(days=7)
    assert planner.plan() == 0


def test_a_notice_is_about_its_holder(world: World) -> None:
    """The address is the holder's, read when it is sent; without one, or after a later threshold, nothing is sent."""
    world.clock.turn(days=77)
    NoticePlanner(world.services, RULES).plan()
    (notice,) = list_notices(world.services)
    found = load_ending(world.services, notice, RULES)
    assert found is not None
    assert (found.holder.name, found.address, found.days_left) == ("alice", "alice@corp.example", 13)
    world.clock.turn(days=7)
    assert load_ending(world.services, notice, RULES) is None
    world.clock.turn(days=-7)
    set_mail_address(world.services, "alice", "", actor=OPERATOR)
    assert load_ending(world.services, notice, RULES) is None


def test_one_digest_for_each_period(world: World) -> None:
    """Daily after six, or weekly; what it says is read when it is sent."""
    world.clock.turn(hours=12)  # midnight of a Tuesday
    for period, wanted in ((DAY, 14), (7 * DAY, 3)):
        rules = NoticeRules(days=(30,), digest=period)
        before = len(list_notices(world.services, limit=1000))
        for hour in range(14 * 24):
            if hour % 50 == 0:
                planner = NoticePlanner(world.services, rules)
            planner.plan()
            world.clock.turn(hours=1)
        assert len(list_notices(world.services, limit=1000)) - before == wanted
    world.clock.turn(days=40)
    digest = load_digest(world.services, NoticeRules(days=(30,), digest=DAY))
    assert (digest.soon, digest.ended, {one.subject_name for one in digest.first}) == (2, 0, {"alice", "bob"})


def test_an_address_is_checked_recorded_and_removed(world: World) -> None:
    """It is personal in the event; removing the person removes it."""
    alice = world.principal("alice")
    event = world.events(EventType.PRINCIPAL_CHANGED)[-1]
    assert event.personal["mail_address"] == "alice@corp.example"
    assert "alice@corp.example" not in str(event.data)
    assert set_mail_address(world.services, "alice", "alice@CORP.example", actor=OPERATOR).notes
    for text in (
        "alice",
        "alice@corp",
        "a b@corp.example",
        "a@b@corp.example",
        "alice@corp.example\nBcc: eve@x.example",
    ):
        with refused(MalformedInput, "mail-address-malformed"):
            set_mail_address(world.services, "alice", text, actor=OPERATOR)
    with pytest.raises(NotFound):
        set_mail_address(world.services, "eve", "", actor=OPERATOR)
    remove(world.services, "alice", actor=OPERATOR)
    with world.work.read() as stores:
        assert stores.mail_addresses.get(alice.id) == ""
