"""Our own authority certificates, and the rollover from one issuing authority to the next.

Not here: the steps of a rollover (`authority.rollover.table`), SQL (storage).
"""
# ruff: noqa: D102 - the properties of AuthorityStores are documented by the stores they give

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.core.certificate import CertificateState, RevocationReason
    from doorward.stores.records import AuthorityKind, AuthorityRecord


class RolloverState(Enum):
    """The states of a rollover; the steps between them are in `authority.rollover.table`."""

    REQUESTED = "requested"  # a key and a request exist; the root elsewhere has not signed yet
    PREPARED = "prepared"  # both authorities are trusted, the old one issues
    ACTIVE = "active"  # both are trusted, the new one issues
    DRAINING = "draining"  # as active; the certificates of the old one are issued again
    REVERTING = "reverting"  # undone: the old one issues, the certificates of the new one are issued again
    RETIRING = "retiring"  # the old one is trusted no more; its last list is not signed yet
    RETIRED = "retired"  # the end: only the new one is left
    WITHDRAWING = "withdrawing"  # the new one is trusted no more; its last list is not signed yet
    WITHDRAWN = "withdrawn"  # the end: only the old one is left


FINAL_STATES = frozenset({RolloverState.RETIRED, RolloverState.WITHDRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloverRecord:
    """One rollover.

    Args:
        id: `rol_…`.
        tenant: its tenant.
        state: where it stands.
        old_id: the authority that issues before it.
        new_id: the authority that issues after it; empty while the root elsewhere has not signed.
        key_name: the new authority's key in the key store.
        request: the PKCS#10 request for the root elsewhere, DER; empty if the root's key was here.
        began_at: when it began.
        moved_at: when it came into this state.
        seq: the number of the change by which it came into this state, which the gateways confirm.
        window: the time over which certificates are issued again.
    """

    id: str
    tenant: str
    state: RolloverState
    old_id: str
    new_id: str
    key_name: str
    request: bytes
    began_at: datetime
    moved_at: datetime
    seq: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateLine:
    """What a rollover needs to know of one certificate that has not ended."""

    id: str
    authority_id: str
    state: CertificateState
    profile: str
    principal_id: str
    subject_name: str
    replaces: str
    not_after: datetime


class AuthorityStore(Protocol):
    """Our own authority certificates."""

    def add(self, authority: AuthorityRecord) -> None:
        """Add one. If it is current, it takes the place of the current one of its kind.

        A responder takes the place of the current responder of the same issuing authority.
        """
        ...

    def get(self, authority_id: str) -> AuthorityRecord | None:
        """Return the authority certificate with this id."""
        ...

    def current(self, kind: AuthorityKind) -> AuthorityRecord | None:
        """Return the current one of this kind; of responders, that of the current issuing authority."""
        ...

    def responder(self, issuing_id: str) -> AuthorityRecord | None:
        """Return the current OCSP responder of an issuing authority."""
        ...

    def make_current(self, authority_id: str) -> None:
        """Make a stored authority the current one of its kind; raise `NotFound` for an unknown one."""
        ...

    def retire(self, authority_id: str, at: datetime, reason: RevocationReason) -> None:
        """Note that no door trusts this authority any more, and why; raise `NotFound` for an unknown one."""
        ...

    def list(self) -> list[AuthorityRecord]:
        """Return all, newest first."""
        ...

    def unended(self, now: datetime, after_id: str, limit: int) -> Sequence[CertificateLine]:
        """Return one page of the certificates of every authority that end after `now`, intended ones excepted, by id."""
        ...


class RolloverStore(Protocol):
    """Rollovers; at most one is not over."""

    def open(self) -> RolloverRecord | None:
        """Return the rollover that is not over."""
        ...

    def list(self) -> list[RolloverRecord]:
        """Return all, newest first."""
        ...

    def add(self, rollover: RolloverRecord) -> None:
        """Add one; raise `RequestRefused` (`rollover-open`) if another one is not over."""
        ...

    def move(self, rollover: RolloverRecord, before: RolloverRecord) -> bool:
        """Replace a rollover if its state and `seq` are still those of `before` (compare and set); return whether they were.

        The state alone is not enough: a rollover that is undone and goes forward again comes into the same state twice.
        """
        ...


class AuthorityStores(Protocol):
    """The stores of this module, as part of `stores.protocols.Stores`."""

    @property
    def authorities(self) -> AuthorityStore: ...
    @property
    def rollovers(self) -> RolloverStore: ...
