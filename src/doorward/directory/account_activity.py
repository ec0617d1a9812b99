"""What happened to a person's account lately, told so that the person notices what somebody else did.

Composed of rows that are kept anyway: sessions, factors, factors that were taken away, certificates, and links for
certificates (if a link was used, the certificate tells of it). Nothing reads the log of evidence, which may hold millions of
events.
Not here: the words (web.portal.recent_activity), and mending it (own_certificates, sessions, factors).
Standard: NIST SP 800-63B-4 section 4.6 (account notifications); OWASP ASVS 5.0 section 7.5.2 (a person sees and ends sessions).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from doorward.core.certificate import CertificateState
from doorward.core.factor_kinds import FactorKind
from doorward.directory.factor_losses import list_losses
from doorward.directory.invitations import find_fault
from doorward.directory.own_certificates import own_records
from doorward.stores.factor_records import FactorRecord, SessionRecord
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

ACTIVITY_PERIOD = timedelta(days=14)
"""How far back is told."""

KNOWN_FOR = timedelta(days=30)
"""How long an address and a browser are known after a session from there; ended sessions are kept as long (`pruning`)."""

MOST_SESSIONS = 1000
"""Newest sessions of one person that are looked at."""

MOST_SHOWN = 10


class ActivityKind(Enum):
    """What happened, in the order in which it must not be pushed out of the list by more of the same."""

    FACTOR_REMOVED = "factor-removed"
    FACTORS_RESET = "factors-reset"
    FACTOR_ADDED = "factor-added"
    CERTIFICATE_WITHDRAWN = "certificate-withdrawn"
    CERTIFICATE_ISSUED = "certificate-issued"
    LINK_MADE = "link-made"
    CERTIFICATE_RENEWED = "certificate-renewed"
    SIGNED_IN = "signed-in"
    FACTOR_USED = "factor-used"


_RANKS = {one: rank for rank, one in enumerate(ActivityKind)}
_UNKNOWN_PLACE_RANK = _RANKS[ActivityKind.SIGNED_IN] - 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountActivity:
    """One thing that happened.

    Args:
        kind: what happened.
        at: when.
        subject_id: id of the session, factor, certificate or link, or of the event that a factor was lost by, as `doorward explain`
            takes it.
        certificate_id: the device it was done with, or that it is about; empty if it is not known.
        application_id: of a session; empty otherwise.
        factor_kind: of a factor; None otherwise.
        name: of a factor, as its person calls it.
        source: the address of a session; empty if it is not known.
        client: what the browser of a session said about itself.
        by_self: whether it was done as the person; otherwise an administrator did it.
        is_over: the session has ended, the factor is gone, or the certificate or link is worthless already.
        is_from_unknown_place: a session from an address and a browser that this person never came with before.
    """

    kind: ActivityKind
    at: datetime
    subject_id: str
    certificate_id: str = ""
    application_id: str = ""
    factor_kind: FactorKind | None = None
    name: str = ""
    source: str = ""
    client: str = ""
    by_self: bool = True
    is_over: bool = False
    is_from_unknown_place: bool = False

    @property
    def key(self) -> str:
        """What names it in an address."""
        return f"{self.kind.value}.{self.subject_id}.{int(self.at.timestamp())}"


def list_activities(services: Services, principal_id: str) -> list[AccountActivity]:
    """Return what happened to a principal in the last 14 days, newest first."""
    now = services.clock.now()
    since = now - ACTIVITY_PERIOD
    with services.work.read() as stores:
        sessions = stores.sessions.begun_since(principal_id, now - KNOWN_FOR, most=MOST_SESSIONS)
        found = [
            *_of_sessions(sessions, now),
            *_of_factors(stores.factors.of_principal(principal_id)),
            *_of_losses(stores, principal_id, since),
            *_of_certificates(stores, principal_id, now),
            *_of_links(stores, principal_id, since, now),
        ]
    return sorted((one for one in found if one.at >= since), key=lambda one: (one.at, one.key), reverse=True)


def select_shown(activities: Sequence[AccountActivity]) -> list[AccountActivity]:
    """Return at most 10, newest first; many sign-ins hide no change of a factor or a certificate."""

    def rank(one: AccountActivity) -> float:
        return _UNKNOWN_PLACE_RANK if one.is_from_unknown_place else _RANKS[one.kind]

    newest = sorted(activities, key=lambda one: one.at, reverse=True)
    return sorted(sorted(newest, key=rank)[:MOST_SHOWN], key=lambda one: one.at, reverse=True)


def find_activity(services: Services, principal_id: str, key: str) -> AccountActivity | None:
    """Return the one of that key; None if there is none, or if it is another person's."""
    return next((one for one in list_activities(services, principal_id) if one.key == key), None)


def _of_sessions(newest_first: Sequence[SessionRecord], now: datetime) -> Iterator[AccountActivity]:
    sources: set[str] = set()
    clients: set[str] = set()
    for one in reversed(newest_first):
        yield AccountActivity(
            kind=ActivityKind.SIGNED_IN,
            at=one.created_at,
            subject_id=one.id,
            certificate_id=one.certificate_id,
            application_id=one.application_id,
            source=one.source,
            client=one.client,
            is_over=one.ended_at is not None or one.ends_at <= now,
            # Of the first session everything is new: that says nothing.
            is_from_unknown_place=bool(sources) and one.source not in sources and one.client not in clients,
        )
        sources.add(one.source)
        clients.add(one.client)


def _of_factors(factors: Iterable[FactorRecord]) -> Iterator[AccountActivity]:
    told_codes: set[datetime] = set()
    for one in factors:
        if one.kind is FactorKind.RECOVERY:  # ten rows are made at once, and one is used up by its use
            if one.created_at in told_codes:
                continue
            told_codes.add(one.created_at)
        yield AccountActivity(
            kind=ActivityKind.FACTOR_ADDED,
            at=one.created_at,
            subject_id=one.id,
            factor_kind=one.kind,
            name=one.name,
        )
        if one.last_used_at is not None:
            yield AccountActivity(
                kind=ActivityKind.FACTOR_USED,
                at=one.last_used_at,
                subject_id=one.id,
                factor_kind=one.kind,
                name=one.name,
            )


def _of_losses(stores: Stores, principal_id: str, since: datetime) -> Iterator[AccountActivity]:
    for one in list_losses(stores, principal_id, since):
        yield AccountActivity(
            kind=ActivityKind.FACTORS_RESET if one.kind is None else ActivityKind.FACTOR_REMOVED,
            at=one.at,
            subject_id=one.event_id,
            factor_kind=one.kind,
            by_self=one.by_self,
            is_over=True,
        )


def _of_certificates(stores: Stores, principal_id: str, now: datetime) -> Iterator[AccountActivity]:
    for one in own_records(stores, principal_id):
        gone = one.state is CertificateState.REVOKED
        yield AccountActivity(
            kind=ActivityKind.CERTIFICATE_RENEWED if one.replaces else ActivityKind.CERTIFICATE_ISSUED,
            at=one.created_at,
            subject_id=one.id,
            certificate_id=one.id,
            is_over=gone or one.not_after <= now,
        )
        if gone and one.revoked_at is not None:
            yield AccountActivity(
                kind=ActivityKind.CERTIFICATE_WITHDRAWN,
                at=one.revoked_at,
                subject_id=one.id,
                certificate_id=one.id,
                is_over=True,
            )


def _of_links(stores: Stores, principal_id: str, since: datetime, now: datetime) -> Iterator[AccountActivity]:
    for one in stores.invitations.unused_since(principal_id, since):
        yield AccountActivity(
            kind=ActivityKind.LINK_MADE,
            at=one.created_at,
            subject_id=one.id,
            certificate_id=one.certificate_id,
            by_self=bool(one.certificate_id),
            is_over=bool(find_fault(stores, one, now)),
        )
