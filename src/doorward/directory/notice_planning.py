"""Which notices there should be about certificates that end, and what they say.

1. A certificate has a notice for each threshold that it reaches (such as 30, 14, 7 and 1 days before its end), once for each
   channel. If several thresholds were passed at once, only the last one counts.
2. A threshold counts only if it is at most a third of the certificate's life: before that, the certificate is not due for renewal.
3. Nothing is said about a certificate that was renewed, revoked or put on hold, or of a suspended holder. This is
   checked when a notice is planned, and again just before it is sent.
4. During a rollover the holders of certificates that must be renewed are told once (`rollover_notices`), under the same rules.
5. A mail goes to the holder's own address, and has nothing about other people.
Not here: sending (`notices`), the ends (`stores.notice_protocols.EndingStore`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.authority.rollover.progress import measure_progress
from doorward.core.entities import TENANT, Principal
from doorward.directory.rollover_notices import FAR, find_renew_by, is_told, rollover_of
from doorward.stores.fleet_records import EnrolmentState
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeKind, NoticeOutcome
from doorward.stores.prerequisites import replaced_issuer
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services

LONGEST_THRESHOLD = 90
"""Days; a mark must be kept until no threshold can be reached again."""

KEPT = timedelta(days=LONGEST_THRESHOLD + 30)
"""How long a notice that is done is kept."""

DIGEST_HOUR = 6
"""UTC: the digest is there when people of Europe and Africa begin to work."""

WHOLE_EVERY = timedelta(hours=1)
"""How often every certificate within the thresholds is looked at: an address may have been added, a holder resumed, a hold released.
In between only those are looked at that reached a threshold since the last run, because a third of a million takes 10 s of CPU."""

_PAGE = 200
_NAMED_IN_DIGEST = 10
_FOR_AN_OPERATOR = (EnrolmentState.PENDING, EnrolmentState.DUPLICATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRules:
    """What is sent.

    Args:
        days: the thresholds, in days before the end.
        mail: whether holders get mails.
        webhook: whether there is a webhook.
        digest: the time between two digests for the operators; None for none.
    """

    days: tuple[int, ...]
    mail: bool = False
    webhook: bool = False
    digest: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingContent:
    """What a notice about a certificate says.

    Args:
        certificate: the certificate.
        holder: its holder.
        days_left: until its end.
        address: empty for a webhook, or if the holder has none any more.
        renew_by: if its issuer is being replaced: until when it should be renewed; None for a notice about its end.
    """

    certificate: CertificateRecord
    holder: Principal
    days_left: int
    address: str
    renew_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestContent:
    """What the operators' digest says.

    Args:
        soon: certificates that end within `days` and were not renewed.
        ended: those that ended since the last digest without a renewal.
        days: the longest threshold.
        first: the certificates that end first.
        pending: devices that wait for an operator's approval.
        clones: certificates that perhaps two devices have.
        waiting: notices that wait to be sent.
        failing: those of them that failed before.
        replaced: certificates that must be renewed because a rollover replaces their issuer.
    """

    soon: int
    ended: int
    days: int
    first: Sequence[CertificateRecord]
    pending: int
    clones: int
    waiting: int
    failing: int
    replaced: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.soon or self.ended or self.pending or self.clones or self.failing or self.replaced)


def find_threshold(certificate: CertificateRecord, now: datetime, days: Iterable[int]) -> int | None:
    """Return the smallest threshold that a certificate has reached; None if none, or if it has ended (steps 1 and 2)."""
    left = certificate.not_after - now
    longest = (certificate.not_after - certificate.not_before) / 3
    reached = [one for one in days if left <= timedelta(days=one) <= longest]
    return min(reached, default=None) if left > timedelta(0) else None


class NoticePlanner:
    """Plans notices, one page of certificates in each transaction; used by one thread.

    A run without new notices writes nothing.
    """

    def __init__(self, services: Services, rules: NoticeRules) -> None:
        self._services, self._rules = services, rules
        self._planned_at: datetime | None = None  # the last run that came to its end
        self._whole_at: datetime | None = None  # the last one of them that looked at every certificate
        self._rollover_id = ""  # the rollover that it knew

    def plan(self) -> int:
        """Add the notices that are missing; return how many."""
        now = self._services.clock.now()
        added = self._plan_digest(now)
        if not self._rules.days or not (self._rules.mail or self._rules.webhook):
            return added
        with self._services.work.read() as stores:
            rollover = stores.rollovers.open() if replaced_issuer(stores) else None
        rollover_id = rollover.id if rollover is not None else ""
        spans = self._list_reached(now) if rollover_id == self._rollover_id else None
        if spans is None:
            # A rollover is about every certificate, however late it ends.
            farthest = FAR if rollover_id else timedelta(days=max(self._rules.days))
            added += self._plan_endings(now, now + farthest, now, rollover_id)
            self._whole_at, self._rollover_id = now, rollover_id
        else:
            added += sum(self._plan_endings(since, until, now, rollover_id) for since, until in spans)
        self._planned_at = now
        return added

    def _list_reached(self, now: datetime) -> list[tuple[datetime, datetime]] | None:
        """Return the spans of ends that reached a threshold since the last run; None if every end must be looked at."""
        last, whole = self._planned_at, self._whole_at
        if last is None or whole is None or now < last or now >= whole + WHOLE_EVERY:
            return None
        return [(last + timedelta(days=one), now + timedelta(days=one)) for one in self._rules.days]

    def _plan_endings(self, since: datetime, until: datetime, now: datetime, rollover_id: str) -> int:
        """Add the missing notices about certificates that end after `since` and not after `until`; return how many."""
        added, after = 0, ""
        while True:
            with self._services.work.read() as stores:
                page = stores.endings.list(since, until, after=after, limit=_PAGE)
                wanted = [
                    one for record in page for one in self._list_missing(stores, record, now, rollover_id)
                ]
            added += self._add(wanted)
            if len(page) < _PAGE:
                return added
            after = page[-1].id

    def _list_missing(
        self, stores: Stores, record: CertificateRecord, now: datetime, rollover_id: str
    ) -> list[Notice]:
        days = find_threshold(record, now, self._rules.days)
        reasons = [] if days is None else [(str(days), days)]
        if rollover_id and is_told(stores, record, now):
            reasons.append((rollover_id, 0))
        channels = []
        if reasons and self._rules.mail and stores.mail_addresses.get(record.principal_id):
            channels.append(NoticeChannel.MAIL)
        if reasons and self._rules.webhook:
            channels.append(NoticeChannel.WEBHOOK)
        marks = (
            (channel, f"{channel.value}:{record.id}:{word}", days)
            for channel in channels
            for word, days in reasons
        )
        return [
            self._build(NoticeKind.CERTIFICATE_ENDS, channel, mark, now, certificate_id=record.id, days=days)
            for channel, mark, days in marks
            if not stores.notices.has(mark)
        ]

    def _build(
        self,
        kind: NoticeKind,
        channel: NoticeChannel,
        mark: str,
        now: datetime,
        *,
        certificate_id: str = "",
        days: int = 0,
    ) -> Notice:
        return Notice(
            id=self._services.new_id("ntc"),
            tenant=TENANT,
            kind=kind,
            channel=channel,
            mark=mark,
            certificate_id=certificate_id,
            days=days,
            created_at=now,
            try_at=now,
        )

    def _plan_digest(self, now: datetime) -> int:
        """Plan the digest of the present period, after its hour; the periods begin on a Monday."""
        every = self._rules.digest
        if every is None or now.hour < DIGEST_HOUR:
            return 0
        number = (now.date().toordinal() - 1) // max(1, every.days)
        mark = f"digest:{every.days}:{number}"
        with self._services.work.read() as stores:
            if stores.notices.has(mark):
                return 0
        return self._add([self._build(NoticeKind.DIGEST, NoticeChannel.MAIL, mark, now)])

    def _add(self, wanted: Sequence[Notice]) -> int:
        """Add these; another process may have added one of them meanwhile."""
        if not wanted:
            return 0
        with self._services.work.change() as stores:
            return sum(stores.notices.add(one) for one in wanted)


def load_ending(services: Services, notice: Notice, rules: NoticeRules) -> EndingContent | None:
    """Return what a notice says now; None if it is not needed any more (step 3), or a later threshold was reached."""
    now = services.clock.now()
    with services.work.read() as stores:
        record = stores.certificates.get(notice.certificate_id)
        if record is None or not stores.endings.is_current(record.id):
            return None
        renew_by = _find_renew_by(stores, notice, record, now)
        if renew_by is None and (
            rollover_of(notice) or find_threshold(record, now, rules.days) != notice.days
        ):
            return None
        holder = stores.directory.get(record.principal_id)
        address = stores.mail_addresses.get(record.principal_id)
    if holder is None or (notice.channel is NoticeChannel.MAIL and not address):
        return None
    days_left = max(0, (record.not_after - now).days)
    return EndingContent(
        certificate=record, holder=holder, days_left=days_left, address=address, renew_by=renew_by
    )


def _find_renew_by(
    stores: Stores, notice: Notice, record: CertificateRecord, now: datetime
) -> datetime | None:
    """Return until when a certificate should be renewed, if the notice is about the rollover that goes on."""
    rollover = stores.rollovers.open()
    if rollover is None or rollover_of(notice) != rollover.id or not is_told(stores, record, now):
        return None
    return find_renew_by(stores, record)


def load_digest(services: Services, rules: NoticeRules) -> DigestContent:
    """Return what the digest says now."""
    now = services.clock.now()
    days = max(rules.days, default=LONGEST_THRESHOLD)
    with services.work.read() as stores:
        rollover = stores.rollovers.open() if replaced_issuer(stores) else None
    replaced = len(measure_progress(services, rollover).missing) if rollover is not None else 0
    lately = now - (rules.digest or timedelta(days=1))
    with services.work.read() as stores:
        endings = stores.endings
        until = now + timedelta(days=days)
        waiting, failing = stores.notices.counts()
        enrolments = stores.device_enrolments.count()
        return DigestContent(
            soon=endings.count(now, until),
            ended=endings.count(lately, now),
            days=days,
            first=tuple(endings.list(now, until, limit=_NAMED_IN_DIGEST)),
            pending=sum(enrolments.get(one, 0) for one in _FOR_AN_OPERATOR),
            clones=stores.suspected_clones.count(),
            waiting=waiting,
            failing=failing,
            replaced=replaced,
        )


def list_notices(services: Services, *, outcome: str | None = None, limit: int = 100) -> list[Notice]:
    """Return notices, newest first; `outcome` is the value of a `NoticeOutcome`."""
    with services.work.read() as stores:
        wanted = NoticeOutcome(outcome) if outcome else None
        return list(stores.notices.list(outcome=wanted, limit=limit))
