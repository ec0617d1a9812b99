"""What is kept about certificates from ACME authorities: accounts, orders, challenges, and tries of each host.

An ACME order here belongs to a gateway's order (`records.OrderRecord`) and has its id: it says where the certificate comes
from, how far that is, and when the next one is due. It stays after it was filled, for the renewal.

Not here: SQL (storage), the work (authority.acme).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeAccountRecord:
    """An account at a server; its key is in the key store under `key_name`."""

    id: str
    tenant: str
    directory: str
    url: str
    contact: str
    key_name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeOrderRecord:
    """Where a gateway's order stands.

    Args:
        order_id: of the gateway's order.
        tenant: of the order.
        directory: of the server, as the document says it; empty is the directory of the settings.
        version: how often the record was replaced: a replacement names the version that it read.
        url: the order at the server; empty before it was placed there, and after it failed.
        failures: failed tries in a row.
        next_try_at: not before; None once the order is answered.
        leased_until: another process works on it until then.
        lease: the word of the process that works on it; each of its writes compares it. Empty if there is none.
        failing_since: the first of the failures.
        problem_code: the code of the last failure; empty if there is none.
        problem: the server's words, cut and printable.
        chain: PEM, once the certificate is there.
        ends_at: the earliest end in the chain.
        renew_at: when the next certificate is due.
        ask_again_at: when the server is asked for its suggested window again.
    """

    order_id: str
    tenant: str
    directory: str
    version: int = 0
    url: str = ""
    failures: int = 0
    next_try_at: datetime | None = None
    leased_until: datetime | None = None
    lease: str = field(default="", repr=False)
    failing_since: datetime | None = None
    problem_code: str = ""
    problem: str = ""
    chain: bytes = field(default=b"", repr=False)
    ends_at: datetime | None = None
    renew_at: datetime | None = None
    ask_again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeChallengeRecord:
    """What shows control of a host while an order is open; `kind` is the challenge's name in RFC 8555."""

    token: str
    tenant: str
    order_id: str
    host: str
    kind: str
    authorization: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmePauseRecord:
    """A directory that is not asked until a time, after so many failures in a row to reach it."""

    directory: str
    tenant: str
    failures: int
    until: datetime


class AcmeStore(Protocol):
    """Everything about ACME."""

    def account(self, account_id: str) -> AcmeAccountRecord | None:
        """Return the account with this id."""
        ...

    def save_account(self, account: AcmeAccountRecord) -> None:
        """Insert or replace an account."""
        ...

    def add_order(self, order: AcmeOrderRecord) -> None:
        """Add one, with version 0."""
        ...

    def replace_order(self, order: AcmeOrderRecord) -> bool:
        """Replace the record with the same version, and count the version up; False if another process was first."""
        ...

    def orders(self, order_ids: Collection[str]) -> Mapping[str, AcmeOrderRecord]:
        """Return those of these orders that are there, by id."""
        ...

    def due(self, now: datetime) -> Sequence[AcmeOrderRecord]:
        """Return those to try or to ask about at this time, by id; `next_try_at` or `ask_again_at` is over."""
        ...

    def next_due(self, now: datetime) -> datetime | None:
        """Return the first time after `now` at which an order is due; None if there is none."""
        ...

    def every_order(self) -> Sequence[AcmeOrderRecord]:
        """Return all, by id, which is by time."""
        ...

    def remove_order(self, order_id: str) -> None:
        """Remove an order and its challenges."""
        ...

    def save_challenge(self, challenge: AcmeChallengeRecord) -> None:
        """Insert or replace the challenge with this token."""
        ...

    def challenge(self, token: str) -> AcmeChallengeRecord | None:
        """Return the challenge with this token."""
        ...

    def challenges(self) -> Sequence[AcmeChallengeRecord]:
        """Return all, by host and token."""
        ...

    def remove_challenges(self, order_id: str) -> int:
        """Remove the challenges of an order; return how many there were."""
        ...

    def count_try(self, gateway_id: str, host: str, day: str) -> None:
        """Count one more try of a host by a gateway on a day (`2026-11-29`); forget earlier days."""
        ...

    def tries(self, host: str, day: str) -> Mapping[str, int]:
        """Return how many tries of a host were counted on a day, by gateway."""
        ...

    def pauses(self) -> Sequence[AcmePauseRecord]:
        """Return all, by directory."""
        ...

    def save_pause(self, pause: AcmePauseRecord) -> None:
        """Insert or replace the pause of a directory."""
        ...

    def remove_pause(self, directory: str) -> None:
        """Remove the pause of a directory."""
        ...


class AcmeStores(Protocol):
    """The store of this file, as part of `stores.protocols.Stores`."""

    @property
    def acme(self) -> AcmeStore: ...  # noqa: D102  as in `stores.protocols`
