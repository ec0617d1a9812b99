"""Notices from plan to mail and webhook: once each, through failures, crashes and restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import issuing
from doorward.directory.mail_addresses import set_mail_address
from doorward.directory.notice_planning import NoticeRules, list_notices
from doorward.notices.sender import AT_ONCE, LEASE, MOST_FAILURES, NoticeSender, Ways
from doorward.notices.texts import Sender
from doorward.notices.webhook import Webhook
from doorward.stores.notice_protocols import Notice
from tests.support.mail_server import RunningMailServer, mail_server
from tests.support.webhook_server import RunningWebhook, webhook_server
from tests.support.world import OPERATOR, World, found_world

DAYS = (30, 14, 7, 1)
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MEMBERS = ("alice", "bob", "carol")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningMailServer, RunningWebhook]]:
    """A mail server and a webhook."""
    with mail_server(tmp_path_factory.mktemp("mail")) as mail, webhook_server() as hook:
        yield mail, hook


@pytest.fixture
def mail(shared: tuple[RunningMailServer, RunningWebhook]) -> RunningMailServer:
    """The mail server, without messages."""
    shared[0].received.clear()
    shared[0].refuse = ""
    return shared[0]


@pytest.fixture
def hook(shared: tuple[RunningMailServer, RunningWebhook]) -> RunningWebhook:
    """The webhook, without messages."""
    shared[1].received.clear()
    shared[1].status = 200
    return shared[1]


@pytest.fixture
def world() -> World:
    """Three people with certificates of 90 days and mail addresses, 14 days before the end."""
    made = found_world()
    for name in MEMBERS:
        made.issue(name)
        set_mail_address(made.services, name, f"{name}@corp.example", actor=OPERATOR)
    made.clock.turn(days=76)
    return made


def sender(
    world: World,
    mail: RunningMailServer,
    hook: RunningWebhook | None = None,
    *,
    holders: bool = True,
    **words: object,
) -> NoticeSender:
    """A sender as after a start of serve."""
    rules = NoticeRules(days=DAYS, mail=holders, webhook=hook is not None, digest=None)
    ways = Ways(
        sender=Sender(
            brand="Meridian Bank", portal="https://portal.corp.example", help="mailto:help@corp.example"
        ),
        mail=mail.server(),
        operators="operators@corp.example",
        webhook=None if hook is None else Webhook(url=hook.url, read_secret=lambda: SECRET),
    )
    return NoticeSender(world.services, replace(rules, **words), ways)  # type: ignore[arg-type]


def outcomes(world: World) -> list[str]:
    """Return the outcome of each notice, sorted."""
    return sorted(one.outcome.value for one in list_notices(world.services))


def test_each_holder_gets_one_mail_of_its_own(world: World, mail: RunningMailServer) -> None:
    """One message for each person, without the name or address of another person; a restart sends none twice."""
    sender(world, mail).work()
    sender(world, mail).work()
    assert sorted(one.recipients for one in mail.received) == [[f"{name}@corp.example"] for name in MEMBERS]
    for one in mail.received:
        whole = one.message.as_string()
        (own,) = one.recipients
        assert one.message["To"] == own
        others = [name for name in MEMBERS if not own.startswith(name)]
        assert not any(name in whole for name in others)
        assert "Meridian Bank: your certificate ends in 14 days" in one.message["Subject"]
        assert "https://portal.corp.example" in one.message.get_content()
    assert outcomes(world) == ["sent"] * 3
    assert len(world.events(EventType.NOTICE_SENT)) == 3
    assert "corp.example" not in str(
        [(one.data, one.personal) for one in world.events(EventType.NOTICE_SENT)]
    )


def test_a_renewal_before_the_sending_drops_the_notice(world: World, mail: RunningMailServer) -> None:
    """Planned while the mail server was away, not needed when it is back."""
    mail.refuse = "451 later"
    one = sender(world, mail)
    one.work()
    alice = world.certificate(world.held[0])
    issuing.issue(world.services, world.csr(), issuing.RenewalClaim(actor=OPERATOR, certificate=alice))
    mail.refuse = ""
    world.clock.turn(minutes=2)
    one.work()
    assert sorted(one.recipients[0] for one in mail.received) == ["bob@corp.example", "carol@corp.example"]
    assert outcomes(world) == ["dropped", "sent", "sent"]


def test_a_failure_is_tried_again_later_each_time(world: World, mail: RunningMailServer) -> None:
    """After 1, 2, 4 … minutes; what failed is told with its reason, and the event comes only at the end."""
    mail.refuse = "451 later"
    one = sender(world, mail)
    pauses = []
    for _ in range(4):
        one.work()
        waiting = [found for found in list_notices(world.services) if found.outcome.value == "waiting"]
        pauses.append((waiting[0].try_at - world.clock.now()) // timedelta(minutes=1))
        world.clock.present = waiting[0].try_at
    assert pauses == [1, 2, 4, 8]
    assert waiting[0].problem == "the mail server refuses the address: 451 later"
    assert not world.events(EventType.NOTICE_GIVEN_UP)
    mail.refuse = "550 no such user"
    one.work()
    assert outcomes(world) == ["given-up"] * 3
    assert len(world.events(EventType.NOTICE_GIVEN_UP)) == 3


def test_no_message_is_tried_for_ever(world: World, mail: RunningMailServer, hook: RunningWebhook) -> None:
    """A webhook that is gone is given up; a holder's mail is not held up by it."""
    hook.status = 410
    one = sender(world, mail, hook)
    for _ in range(MOST_FAILURES + 2):
        one.work()
        world.clock.turn(hours=6)
    webhooks = [found for found in list_notices(world.services) if found.channel.value == "webhook"]
    assert {found.outcome.value for found in webhooks if found.days == 14} <= {"given-up", "dropped"}
    assert [one.recipients[0] for one in mail.received][:3]


def test_a_crash_after_the_sending_sends_the_same_message_id_again(
    world: World, mail: RunningMailServer
) -> None:
    """At least once: the lease of the crashed process runs out, and a mail reader sees one message twice."""

    class Crash(BaseException):
        """As a kill."""

    class Crashing(NoticeSender):
        def _record(self, notice: object) -> None:
            raise Crash

    crashing = sender(world, mail)
    crashing.__class__ = Crashing
    with pytest.raises(Crash):
        crashing.work()
    assert len(mail.received) == 1
    after = sender(world, mail)
    after.work()
    assert len(mail.received) == 3  # those of the others; the first one is still leased
    world.clock.turn(seconds=LEASE.total_seconds() + 1)
    after.work()
    ids = [one.message["Message-ID"] for one in mail.received]
    assert len(ids) == 4
    assert ids[-1] == ids[0]
    after.work()
    assert len(mail.received) == 4


def test_two_processes_share_the_work(world: World, mail: RunningMailServer) -> None:
    """Another process sends the rest while the first one, which knows of all three, sends its first: none is sent twice."""
    second = sender(world, mail)

    class Slow(NoticeSender):
        def _send(self, notice: Notice) -> None:
            second.work()
            super()._send(notice)

    first = sender(world, mail)
    first.__class__ = Slow
    first.work()
    assert sorted(one.recipients[0] for one in mail.received) == [f"{name}@corp.example" for name in MEMBERS]


def test_a_run_sends_a_limited_number(world: World, mail: RunningMailServer) -> None:
    """The rate is limited by the time between runs."""
    for number in range(AT_ONCE + 5):
        issuing.issue(world.services, world.csr(), world.claim(MEMBERS[number % 3]))
    world.clock.turn(days=76)
    one = sender(world, mail)
    one.work()
    assert len(mail.received) == AT_ONCE
    one.work()
    assert len(mail.received) == AT_ONCE + 5


def test_the_webhook_gets_signed_facts(world: World, mail: RunningMailServer, hook: RunningWebhook) -> None:
    """Certificate, holder, end and threshold; the id is that of the notice."""
    sender(world, mail, hook, holders=False).work()
    assert len(hook.received) == 3
    headers, body = hook.received[0]
    value = json.loads(body)
    assert value["type"] == "certificate.ends"
    assert value["data"]["days"] == 14
    assert value["data"]["name"] in MEMBERS
    assert value["data"]["not_after"].endswith("Z")
    assert headers["webhook-id"] in {one.id for one in list_notices(world.services)}


def test_operators_get_a_digest(world: World, mail: RunningMailServer) -> None:
    """Once a day, with the first that end; on a day without anything to tell there is none."""
    one = sender(world, mail, holders=False, digest=timedelta(days=1))
    one.work()
    one.work()
    (digest,) = mail.received
    assert digest.recipients == ["operators@corp.example"]
    text = digest.message.get_content()
    assert "3 certificates end within 30 days" in text
    assert "0 devices wait for your approval" in text
    assert all(name in text for name in MEMBERS)
    mail.received.clear()
    for held in world.held:
        claim = issuing.RenewalClaim(actor=OPERATOR, certificate=world.certificate(held))
        issuing.issue(world.services, world.csr(), claim)
    world.clock.turn(days=1)
    one.work()
    assert mail.received == []


@pytest.mark.parametrize(
    ("language", "words"), [("en", "your certificate ends"), ("de", "Ihr Zertifikat endet")]
)
def test_mails_have_the_chosen_language(
    world: World, mail: RunningMailServer, language: str, words: str
) -> None:
    """Both texts name the end, the serial number and the portal."""
    made = sender(world, mail)
    made._ways = replace(made._ways, sender=replace(made._ways.sender, language=language))
    made.work()
    found = mail.received[0].message
    assert words in found["Subject"]
    held = {f"{one.record.serial:x}" for one in world.held}
    assert any(serial in found.get_content() for serial in held)
