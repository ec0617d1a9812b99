"""Recent activity of a person's account, so that the person notices what somebody else did.

The list is built from rows that are kept anyway: sessions, factors, removed factors, certificates, and links for
certificates (a used link is shown as its certificate). The evidence log is not read: it may hold millions of events.
Not here: the texts (web.portal.recent_activity), and the repair (own_certificates, sessions, factors).
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
"""How far back the list goes."""

KNOWN_FOR = timedelta(days=30)
"""How long an address and a browser count as known after a session; ended sessions are kept as long (`pruning`)."""

MOST_SESSIONS = 1000
"""How many of the newest sessions of a person are read."""

MOST_SHOWN = 10


class ActivityKind(Enum):
    """Kinds of activity, the most important first: a full list drops the later kinds first."""

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
    """One entry of the list.

    Args:
        kind: what happened.
        at: when it happened.
        subject_id: id of the session, factor, certificate or link; for a removed factor the id of the event. `doorward explain`
            takes each of them.
        certificate_id: the certificate that was used, or that was issued, renewed or withdrawn; empty if it is not known.
        application_id: of a session; empty otherwise.
        factor_kind: of a factor; None otherwise.
        name: of a factor, as its person calls it.
        source: the address of a session; empty if it is not known.
        client: the User-Agent of a session.
        by_self: whether the person, or somebody in the person's name, did it; otherwise an administrator did it.
        is_over: whether the session has ended, the factor was removed, or the certificate or link is no longer valid.
        is_from_unknown_place: whether both address and browser of a session are new for this person.
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
        """The name of this entry in URLs."""
        return f"{self.kind.value}.{self.subject_id}.{int(self.at.timestamp())}"


def list_activities(services: Services, principal_id: str) -> list[AccountActivity]:
    """Return the activity of a principal in the last 14 days, newest first."""
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
    """Return at most 10 entries, newest first; many sign-ins or unused links push out no change of a factor or a certificate."""

    def rank(one: AccountActivity) -> float:
        if one.kind is ActivityKind.LINK_MADE and one.is_over:
            return _RANKS[ActivityKind.FACTOR_USED]
        return _UNKNOWN_PLACE_RANK if one.is_from_unknown_place else _RANKS[one.kind]

    newest = sorted(activities, key=lambda one: one.at, reverse=True)
    return sorted(sorted(newest, key=rank)[:MOST_SHOWN], key=lambda one: one.at, reverse=True)


def find_activity(services: Services, principal_id: str, key: str) -> AccountActivity | None:
    """Return the entry with that key; None if there is none, or if it belongs to another person."""
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
            # At the first session every address and browser is new, so that is not marked.
            is_from_unknown_place=bool(sources) and one.source not in sources and one.client not in clients,
        )
        sources.add(one.source)
        clients.add(one.client)


def _of_factors(factors: Iterable[FactorRecord]) -> Iterator[AccountActivity]:
    told_codes: set[datetime] = set()
    for one in factors:
        if one.kind is FactorKind.RECOVERY:  # ten rows are made at once, and each use removes one
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
            certificate_id=one.made_from,
            by_self=bool(one.made_from),
            is_over=bool(find_fault(stores, one, now)),
        )
