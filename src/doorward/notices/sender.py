"""Works through the notices that wait: some at a time, each leased, sent, and recorded.

1. Plan what is missing, every five minutes.
2. Lease a notice: another process, or this one after a crash, tries it again after ten minutes.
3. Read what it says now; if it is not needed any more, it is dropped.
4. Send it.
5. Record the result and its event in one transaction.

A notice is sent at least once: a crash between 4 and 5 sends it again, with the same Message-ID or webhook-id. After a failure
it is tried again after a minute, then after twice as long, at most after six hours; it is given up after 30 tries, or at
once if the address is refused for good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from doorward.audit.events import EventType
from doorward.core.pauses import double_pause
from doorward.directory.notice_planning import KEPT, NoticePlanner, NoticeRules, load_digest, load_ending
from doorward.notices.failures import SendFailed
from doorward.notices.mail import MailServer, send_mail
from doorward.notices.texts import MailText, Sender, render_digest, render_ending
from doorward.notices.webhook import Webhook, post_webhook, render_event
from doorward.stores.events import new_event
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeKind, NoticeOutcome
from doorward.stores.services import Services

AT_ONCE = 20
"""Notices of one run; with a run every ten seconds, at most 120 in a minute: a mail server may refuse more."""

PLAN_EVERY = timedelta(minutes=5)
LEASE = timedelta(minutes=10)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
MOST_FAILURES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How notices leave this machine; a way that is None is not used."""

    sender: Sender
    mail: MailServer | None = None
    operators: str = ""
    webhook: Webhook | None = None


class NoticeSender:
    """Plans and sends; used by one thread."""

    def __init__(self, services: Services, rules: NoticeRules, ways: Ways) -> None:
        self._services, self._rules, self._ways = services, rules, ways
        self._planner = NoticePlanner(services, rules)
        self._planned_at: datetime | None = None

    def work(self) -> bool:
        """Do one run; return False, because the rate is limited by the time between runs."""
        now = self._services.clock.now()
        if self._planned_at is None or not timedelta(0) <= now - self._planned_at < PLAN_EVERY:
            self._planner.plan()
            self._forget(now)
            self._planned_at = now
        with self._services.work.read() as stores:
            due = stores.notices.due(self._services.clock.now(), AT_ONCE)  # also what was just planned
        for notice in due:
            with self._services.work.change() as stores:
                leased = stores.notices.lease(notice, self._services.clock.now() + LEASE)
            if leased:
                self._send(notice)
        return False

    def _forget(self, now: datetime) -> None:
        with self._services.work.change() as stores:
            stores.notices.forget(now - KEPT)

    def _send(self, notice: Notice) -> None:
        """Steps 3 to 5."""
        send = self._prepare(notice)
        if send is None:
            self._record(replace(notice, outcome=NoticeOutcome.DROPPED))
            return
        try:
            send()
        except SendFailed as failed:
            self._record(self._postpone(notice, failed))
        else:
            self._record(replace(notice, outcome=NoticeOutcome.SENT, problem=""))

    def _prepare(self, notice: Notice) -> Callable[[], None] | None:
        """Step 3: return what sends the notice; None if it is not needed, or if its way was switched off."""
        ways, mail, webhook = self._ways, self._ways.mail, self._ways.webhook
        now = self._services.clock.now()
        if notice.kind is NoticeKind.DIGEST:
            digest = load_digest(self._services, self._rules)
            if mail is None or not ways.operators or digest.is_empty:
                return None
            return self._mail(mail, ways.operators, render_digest(digest, ways.sender), notice, now)
        content = load_ending(self._services, notice, self._rules)
        if content is None:
            return None
        if notice.channel is NoticeChannel.MAIL:
            if mail is None:
                return None
            return self._mail(mail, content.address, render_ending(content, ways.sender), notice, now)
        if webhook is None:
            return None
        message = render_event(content, notice.days, now)
        return lambda: post_webhook(webhook, message, id_=notice.id, at=now)

    def _mail(
        self, mail: MailServer, to: str, text: MailText, notice: Notice, now: datetime
    ) -> Callable[[], None]:
        return lambda: send_mail(mail, to, text, id_=notice.id, at=now)

    def _postpone(self, notice: Notice, failed: SendFailed) -> Notice:
        failures = notice.failures + 1
        pause = double_pause(FIRST_PAUSE, notice.failures, LONGEST_PAUSE)
        over = failed.final or failures >= MOST_FAILURES
        return replace(
            notice,
            failures=failures,
            problem=failed.problem,
            try_at=self._services.clock.now() + pause,
            outcome=NoticeOutcome.GIVEN_UP if over else NoticeOutcome.WAITING,
        )

    def _record(self, notice: Notice) -> None:
        """Step 5."""
        now = self._services.clock.now()
        waits = notice.outcome is NoticeOutcome.WAITING
        kinds = {
            NoticeOutcome.SENT: EventType.NOTICE_SENT,
            NoticeOutcome.GIVEN_UP: EventType.NOTICE_GIVEN_UP,
        }
        with self._services.work.change() as stores:
            stores.notices.save(replace(notice, done_at=None if waits else now))
            if notice.outcome in kinds:
                event = new_event(
                    self._services,
                    kinds[notice.outcome],
                    actor="system",
                    at=now,
                    data={
                        "notice": notice.id,
                        "kind": notice.kind.value,
                        "channel": notice.channel.value,
                        **({"certificate": notice.certificate_id} if notice.certificate_id else {}),
                    },
                )
                stores.outbox.add(event)
