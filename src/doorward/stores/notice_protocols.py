"""Certificates that end, the mail addresses of principals, and the notices about ends.

A notice is a message that has to be sent: it waits until it is done. Its mark makes sure that there is one notice for each
certificate, threshold and channel, also after a restart.
Not here: SQL (storage), which notices there should be (`directory.notice_planning`), sending (`notices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.stores.records import CertificateRecord


class NoticeKind(Enum):
    """What a notice is about."""

    CERTIFICATE_ENDS = "certificate-ends"
    DIGEST = "digest"


class NoticeChannel(Enum):
    """How a notice is sent."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class NoticeOutcome(Enum):
    """How a notice ended: sent, not needed any more, or tried too often."""

    WAITING = "waiting"
    SENT = "sent"
    DROPPED = "dropped"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice.

    Args:
        id: `ntc_…`; the Message-ID of a mail and the id of a webhook are made of it.
        tenant: the tenant.
        kind: see `NoticeKind`.
        channel: see `NoticeChannel`.
        mark: what there is only one notice of, such as `mail:crt_…:14`.
        certificate_id: the certificate; empty for a digest.
        days: the threshold, in days before the end; 0 for a digest.
        created_at: when it was planned.
        try_at: when to try next.
        failures: failed tries in a row.
        problem: the last failure, as a sentence; empty if there was none.
        outcome: see `NoticeOutcome`.
        done_at: when it was sent, dropped or given up; None while it waits.
    """

    id: str
    tenant: str
    kind: NoticeKind
    channel: NoticeChannel
    mark: str
    certificate_id: str
    days: int
    created_at: datetime
    try_at: datetime
    failures: int = 0
    problem: str = ""
    outcome: NoticeOutcome = NoticeOutcome.WAITING
    done_at: datetime | None = None


class EndingStore(Protocol):
    """Valid certificates of our own by their end; those of gateways and of partners' people are left out."""

    def list(
        self, since: datetime, until: datetime, *, every: bool = False, after: str = "", limit: int = 100
    ) -> Sequence[CertificateRecord]:
        """Return those that end after `since` and at or before `until`, in the order of their ends.

        Args:
            since: aware, UTC.
            until: aware, UTC.
            every: False leaves out those that were renewed, and those of principals that are not active.
            after: the id of the last certificate of the previous page; empty for the first page.
            limit: of the page.

        Raises:
            NotFound: `certificate-unknown`: there is no certificate `after`.
        """
        ...

    def count(self, since: datetime, until: datetime) -> int:
        """Return how many `list` has with `every` False."""
        ...

    def is_current(self, certificate_id: str) -> bool:
        """Return whether a certificate is valid, not renewed, and its holder is active."""
        ...


class MailAddressStore(Protocol):
    """One mail address of a principal, for notices."""

    def get(self, principal_id: str) -> str:
        """Return the address; empty if there is none."""
        ...

    def set(self, principal_id: str, address: str) -> bool:
        """Set the address; an empty one removes it. Return whether anything changed."""
        ...


class NoticeStore(Protocol):
    """Notices."""

    def add(self, notice: Notice) -> bool:
        """Add a notice; False if there is one with its mark."""
        ...

    def has(self, mark: str) -> bool:
        """Return whether there is a notice with a mark."""
        ...

    def due(self, now: datetime, limit: int) -> Sequence[Notice]:
        """Return waiting notices with a `try_at` that has come, earliest first."""
        ...

    def lease(self, notice: Notice, until: datetime) -> bool:
        """Move `try_at`; False if the notice is done, or if another process moved it first."""
        ...

    def save(self, notice: Notice) -> None:
        """Store try_at, failures, problem, outcome and done_at of a waiting notice."""
        ...

    def list(self, *, outcome: NoticeOutcome | None = None, limit: int = 100) -> Sequence[Notice]:
        """Return notices, newest first."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return how many wait, and how many of these failed before."""
        ...

    def forget(self, before: datetime, limit: int = 1000) -> int:
        """Remove notices that were done before a time, oldest first; return how many."""
        ...


class NoticeStores(Protocol):
    """The stores of this module; a part of `stores.protocols.Stores`."""

    @property
    def endings(self) -> EndingStore:
        """Certificates by their end."""
        ...

    @property
    def mail_addresses(self) -> MailAddressStore:
        """Mail addresses of principals."""
        ...

    @property
    def notices(self) -> NoticeStore:
        """Notices."""
        ...
