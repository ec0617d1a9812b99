"""The store Protocols of second factors, sessions, step-ups and throttling.

Not here: SQL, and the unit of work that binds these to one transaction (`stores.protocols`).

Of several concurrent callers of `use`, `end` or `take` exactly one succeeds: each is one statement that compares and sets.
"""
# ruff: noqa: D102 - the properties of FactorStores are documented by the stores they give

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.core.factor_kinds import FactorKind
    from doorward.stores.factor_records import (
        EnrolmentTicket,
        FactorRecord,
        SessionCodeRecord,
        SessionKeyRecord,
        SessionRecord,
        StepUpRecord,
        ThrottleRecord,
    )

MAX_STEP_UPS = 20
"""Step-ups that one certificate may have open; beyond that the oldest is removed."""


class FactorStore(Protocol):
    """Second factors of principals."""

    def add(self, factor: FactorRecord) -> None:
        """Add one; raise `RequestRefused` (`factor-duplicate`) if its credential id is enrolled already."""
        ...

    def get(self, factor_id: str) -> FactorRecord | None:
        """Return the factor with this id."""
        ...

    def of_principal(self, principal_id: str) -> list[FactorRecord]:
        """Return the factors of a principal, recovery codes included, oldest first."""
        ...

    def by_credential(self, credential_id: str) -> FactorRecord | None:
        """Return the passkey with that credential id; None for the empty id."""
        ...

    def count_foreign(self, rp_id: str) -> int:
        """Return how many passkeys were made for another relying party than this one."""
        ...

    def use(self, factor_id: str, *, expected: int, counter: int, at: datetime) -> bool:
        """Move the counter from `expected` to `counter` and note the use; False if another use was first."""
        ...

    def rename(self, factor_id: str, name: str) -> bool:
        """Change its name; False if there is no such factor."""
        ...

    def remove(self, factor_id: str) -> bool:
        """Remove it; True for exactly one caller, so that a recovery code can be used only once."""
        ...

    def remove_all(self, principal_id: str) -> int:
        """Remove every factor of a principal; return how many there were."""
        ...

    def remove_partner(self, partner_id: str) -> int:
        """Remove every factor of every principal of a partner; return how many there were."""
        ...


class EnrolmentTicketStore(Protocol):
    """Rights to enrol a first factor. One is open if it was not used and has not expired."""

    def add(self, ticket: EnrolmentTicket) -> None:
        """Add one; raise `IntegrityError` (`enrolment-right-duplicate`) if another one has the same token."""
        ...

    def open_for(self, principal_id: str, now: datetime) -> list[EnrolmentTicket]:
        """Return the open ones of a principal, oldest first."""
        ...

    def by_token(self, token_sha256: str) -> EnrolmentTicket | None:
        """Return the ticket with this token; None for the empty text."""
        ...

    def use(self, ticket_id: str, at: datetime) -> bool:
        """Mark it used if it is open at that time; True for exactly one caller."""
        ...

    def void_all(self, principal_id: str, at: datetime) -> int:
        """Let every open ticket of a principal expire now; return how many."""
        ...

    def void_partner(self, partner_id: str, at: datetime) -> int:
        """Let every open ticket of every principal of a partner expire now; return how many."""
        ...

    def void_every(self, at: datetime) -> int:
        """Let every open ticket expire now; return how many."""
        ...

    def prune(self, before: datetime) -> int:
        """Remove those that expired before this time; return how many."""
        ...


class SessionStore(Protocol):
    """Sessions of the portal and of applications. One is open if it was not ended and `ends_at` is in the future."""

    def add(self, session: SessionRecord) -> None:
        """Add one; raise `IntegrityError` (`session-duplicate`) if another one has its id or its token."""
        ...

    def get(self, session_id: str) -> SessionRecord | None:
        """Return the session with this id, also if it has ended."""
        ...

    def by_token(self, token_sha256: str) -> SessionRecord | None:
        """Return the portal's session with this token, also if it has ended; None for the empty text."""
        ...

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[SessionRecord]:
        """Return the open ones of one principal or all, oldest first."""
        ...

    def begun_since(self, principal_id: str, since: datetime, *, most: int) -> list[SessionRecord]:
        """Return at most `most` of a principal's sessions that began since then, ended ones included, newest first."""
        ...

    def touch(self, session_id: str, *, seen_at: datetime, factors: Mapping[FactorKind, datetime]) -> bool:
        """Set the time of its last use and replace its factors; False if it was ended."""
        ...

    def end(self, session_id: str, at: datetime) -> bool:
        """End it; True for exactly one caller. False if it had reached `ends_at`."""
        ...

    def end_all(self, principal_id: str, at: datetime, application_id: str | None = None) -> int:
        """End the open sessions of a principal, of one application or all; return how many."""
        ...

    def end_certificate(self, certificate_id: str, at: datetime) -> int:
        """End the open sessions of a certificate; return how many."""
        ...

    def end_partner(self, partner_id: str, at: datetime) -> int:
        """End the open sessions of every principal of a partner; return how many."""
        ...

    def end_every(self, at: datetime) -> int:
        """End every open session; return how many."""
        ...

    def latest_end(self, certificate_id: str, application_id: str, now: datetime) -> datetime | None:
        """Return when the last open session of a certificate at an application ends; None if there is none."""
        ...

    def prune(self, before: datetime) -> int:
        """Remove those that ended or reached `ends_at` before this time; return how many."""
        ...


class StepUpStore(Protocol):
    """Step-ups that were begun."""

    def add(self, step_up: StepUpRecord) -> None:
        """Add one. If its certificate now has more than `MAX_STEP_UPS`, remove the oldest of them."""
        ...

    def get(self, step_up_id: str) -> StepUpRecord | None:
        """Return the step-up with this id, also if it has expired."""
        ...

    def remove(self, step_up_id: str) -> bool:
        """Remove it; True for exactly one caller."""
        ...

    def remove_all(self, principal_id: str) -> int:
        """Remove every step-up of a principal; return how many there were."""
        ...

    def prune(self, before: datetime) -> int:
        """Remove those that expired before this time; return how many."""
        ...


class SessionCodeStore(Protocol):
    """One-use codes for the callbacks of applications."""

    def add(self, code: SessionCodeRecord) -> None:
        """Add one; raise `IntegrityError` (`session-code-duplicate`) if the same code exists already."""
        ...

    def take(self, code_sha256: str) -> SessionCodeRecord | None:
        """Remove and return the code, also if it has expired; exactly one caller gets it."""
        ...

    def remove_all(self, principal_id: str) -> int:
        """Remove every code of a principal; return how many there were."""
        ...

    def prune(self, before: datetime) -> int:
        """Remove those that expired before this time; return how many."""
        ...


class EpochStore(Protocol):
    """Session epochs: three counters that only grow: one for all, one per principal, one per principal and application.

    A session's token carries the epoch of the moment when it was made. Raising a counter makes such tokens invalid. The
    use case notes a change for the principals that it concerns, so that gateways cut their connections.
    """

    def of(self, principal_id: str, application_id: str) -> str:
        """Return `"{all}.{principal}.{pair}"` for this principal at this application."""
        ...

    def raise_for(self, principal_id: str = "", application_id: str = "") -> None:
        """Raise one counter: of the principal, of the pair if an application is given, of all if neither is given."""
        ...

    def raise_all(self, at: datetime) -> None:
        """Raise the counter of all to at least this moment in microseconds since 1970.

        For a database that was restored from a backup: the next number after the restored one may have been used
        already.
        """
        ...


class ThrottleStore(Protocol):
    """Failed tries; they survive a restart."""

    def get(self, keys: Collection[str]) -> Mapping[str, ThrottleRecord]:
        """Return the records of these keys; a key without a record is not in the answer."""
        ...

    def save(self, throttle: ThrottleRecord) -> None:
        """Insert or replace by key."""
        ...

    def forget(self, key: str) -> None:
        """Remove the record of a key."""
        ...

    def prune(self, before: datetime) -> int:
        """Remove those with the last try and the end of the block before this time; return how many."""
        ...


class SessionKeyStore(Protocol):
    """Keys that sign sessions."""

    def list(self) -> list[SessionKeyRecord]:
        """Return all, newest first."""
        ...

    def add(self, key: SessionKeyRecord) -> None:
        """Add one; raise `IntegrityError` (`session-key-duplicate`) if its id is taken."""
        ...

    def retire(self, key_id: str, at: datetime) -> bool:
        """Note that another key signs from this moment on; True for exactly one caller."""
        ...

    def remove(self, key_id: str) -> bool:
        """Remove it; False if there is no such key."""
        ...


class FactorStores(Protocol):
    """The stores of this file, as part of `stores.protocols.Stores`."""

    @property
    def factors(self) -> FactorStore: ...
    @property
    def enrolment_tickets(self) -> EnrolmentTicketStore: ...
    @property
    def sessions(self) -> SessionStore: ...
    @property
    def step_ups(self) -> StepUpStore: ...
    @property
    def session_codes(self) -> SessionCodeStore: ...
    @property
    def epochs(self) -> EpochStore: ...
    @property
    def throttles(self) -> ThrottleStore: ...
    @property
    def session_keys(self) -> SessionKeyStore: ...
