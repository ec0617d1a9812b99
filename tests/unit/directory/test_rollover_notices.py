"""Notices during a rollover: who is told to renew, once, and in which words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.authority import issuing
from doorward.authority.rollover import leaving, moving, preparing
from doorward.core.entities import PrincipalKind
from doorward.directory.mail_addresses import set_mail_address
from doorward.directory.notice_planning import (
    NoticePlanner,
    NoticeRules,
    list_notices,
    load_digest,
    load_ending,
)
from doorward.notices.texts import Sender, render_digest, render_ending
from doorward.notices.webhook import render_event
from tests.support.ports import NOON
from tests.support.world import OPERATOR, World, found_world

RULES = NoticeRules(days=(30, 14, 7, 1), mail=True, digest=timedelta(days=1))
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """A founded authority; alice and a sensor have certificates and addresses, and a rollover issues them again in a day."""
    made = found_world()
    for name in ("alice", "sensor-1"):
        made.issue(name)
        set_mail_address(made.services, name, f"{name}@corp.example", actor=OPERATOR)
    preparing.prepare(made.services, actor=OPERATOR)
    moving.activate(made.services, actor=OPERATOR)
    assert NoticePlanner(made.services, RULES).plan() == 1  # the digest
    moving.drain(made.services, actor=OPERATOR, window=DAY)
    return made


def told(world: World) -> list[str]:
    """The holders with a notice about the rollover that is still needed, and with it."""
    found = [
        load_ending(world.services, one, RULES) for one in list_notices(world.services) if one.certificate_id
    ]
    return sorted(one.holder.name for one in found if one is not None and one.renew_by == NOON + DAY)


def renew(world: World, number: int) -> None:
    """Renew a certificate, as its holder does."""
    record = world.certificate(world.held[number])
    issuing.issue(world.services, world.csr(), issuing.RenewalClaim(actor=OPERATOR, certificate=record))


def test_people_are_told_at_once_and_machines_when_they_are_late(world: World) -> None:
    """Once each, also after a restart; not if they renewed before, or after the rollover is over."""
    assert [NoticePlanner(world.services, RULES).plan() for _ in range(2)] == [1, 0]
    assert told(world) == ["alice"]
    world.clock.turn(days=1)
    NoticePlanner(world.services, RULES).plan()
    assert told(world) == ["alice", "sensor-1"]
    renew(world, 0)
    assert told(world) == ["sensor-1"]
    leaving.retire(world.services, actor=OPERATOR, abandon_missing=True)
    assert told(world) == []
    assert NoticePlanner(world.services, RULES).plan() == 0


def test_a_webhook_hears_of_them(world: World) -> None:
    """With a type of its own, and the moment by which to renew."""
    rules = replace(RULES, mail=False, webhook=True)
    NoticePlanner(world.services, rules).plan()
    (notice,) = (one for one in list_notices(world.services) if one.certificate_id)
    content = load_ending(world.services, notice, rules)
    assert content is not None
    event = render_event(content, notice.days, NOON)
    assert event["type"] == "certificate.issuer-replaced"
    assert (event["data"]["renew_by"], "days" in event["data"]) == (f"{NOON + DAY:%Y-%m-%dT%H:%M:%SZ}", False)


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_mail_says_why_and_by_when(world: World, language: str) -> None:
    """A person is sent to the portal, somebody who looks after a device to its agent; the digest counts them."""
    sender = Sender(brand="Corp", portal="https://login.corp.example", language=language)
    NoticePlanner(world.services, RULES).plan()
    (notice,) = (one for one in list_notices(world.services) if one.certificate_id)
    content = load_ending(world.services, notice, RULES)
    assert content is not None
    mail = render_ending(content, sender)
    assert f"{NOON + DAY:%Y-%m-%d}" in mail.subject
    assert sender.portal in mail.body
    device = replace(content, holder=replace(content.holder, kind=PrincipalKind.DEVICE, name="sensor-1"))
    assert sender.portal not in render_ending(device, sender).body
    assert "EST" in render_ending(device, sender).body
    digest = load_digest(world.services, RULES)
    assert (digest.replaced, digest.is_empty) == (2, False)
    assert "doorward ca rotate status" in render_digest(digest, sender).body
    renew(world, 0)
    renew(world, 1)
    assert load_digest(world.services, RULES).replaced == 0
