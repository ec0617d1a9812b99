"""The store Protocols of people, devices, services, applications and invitations; `protocols` binds them to one transaction.

Not here: factors and sessions (`factor_protocols`), manufacturers' devices (`fleet_protocols`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from doorward.core.entities import Application, Principal, PrincipalKind, PrincipalState
    from doorward.stores.records import (
        InvitationRecord,
    )


class DirectoryStore(Protocol):
    """Persons, devices, services and groups."""

    def add(self, principal: Principal, created_at: datetime) -> None:
        """Add one; raise `RequestRefused` (`name-taken`) if a principal of any kind that is not removed has the name."""
        ...

    def get(self, principal_id: str) -> Principal | None:
        """Return the principal with its groups."""
        ...

    def read_ahead(self, principal_ids: Collection[str]) -> None:
        """Read these principals at once, so that `get` need not ask for each in this transaction.

        An unknown id is no error. A change of the directory in this transaction is seen by `get` as always.
        """
        ...

    def by_name(self, name: str) -> Principal | None:
        """Return the principal with this name that is not removed; names are unique over all kinds."""
        ...

    def list(self, kind: PrincipalKind | None = None) -> list[Principal]:
        """Return all that are not removed, sorted by name."""
        ...

    def set_state(self, principal_id: str, state: PrincipalState) -> None:
        """Set the state; the use case has checked the transition."""
        ...

    def set_display_name(self, principal_id: str, display_name: str) -> None:
        """Set the name on screens; raise `NotFound` if there is no such principal."""
        ...

    def members(self, group: str) -> Sequence[Principal]:
        """Return the members of a group and of the groups in it, without removed principals, sorted by name.

        Empty for an unknown group. If `inherited` of a principal contains the group, the principal is a member of it
        through another group.
        """
        ...

    def remove_group(self, group: str) -> bool:
        """Remove a group with its memberships and nestings; return whether the group existed."""
        ...

    def knows_removed(self, name: str, partner_id: str) -> bool:
        """Return whether a principal with this name, of this partner, was removed."""
        ...

    def remove_partner(self, partner_id: str) -> int:
        """Mark every principal of a partner as removed; return how many there were."""
        ...

    def add_group(self, name: str, group_id: str, created_at: datetime) -> None:
        """Add a group; raise `RequestRefused` (`name-taken`) if it exists."""
        ...

    def groups(self) -> Mapping[str, int]:
        """Return every group name with the number of its direct members that are principals, sorted by name."""
        ...

    def has_group(self, name: str) -> bool:
        """Return whether there is a group of that name, without counting the members of all groups."""
        ...

    def add_member(self, group: str, principal_id: str) -> bool:
        """Put a principal into a group; False if it was in it already; raise `NotFound` for an unknown group."""
        ...

    def remove_member(self, group: str, principal_id: str) -> bool:
        """Take a principal out of a group; False if it was not in it; raise `NotFound` for an unknown group."""
        ...

    def nestings(self) -> Sequence[tuple[str, str]]:
        """Return all pairs (inner, outer) of groups where `inner` is a direct member of `outer`, sorted."""
        ...

    def enclosing(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return these names, known or not, and every group that contains one of them, sorted."""
        ...

    def nest(self, inner: str, outer: str) -> bool:
        """Put a group into a group; False if it was in it already; raise `NotFound` for an unknown one.

        The use case has checked that this makes no circle.
        """
        ...

    def unnest(self, inner: str, outer: str) -> bool:
        """Take a group out of a group; False if it was not in it; raise `NotFound` for an unknown one."""
        ...


class ApplicationStore(Protocol):
    """Names of applications and their ids; an id is never reused, not even if the name is used again."""

    def list(self) -> list[Application]:
        """Return the applications of the current revision, sorted by name."""
        ...

    def add(self, application: Application, created_at: datetime) -> None:
        """Add one."""
        ...

    def remove(self, application_id: str, removed_at: datetime) -> None:
        """Mark one as removed."""
        ...


class InvitationStore(Protocol):
    """One-time invitations."""

    def add(self, invitation: InvitationRecord) -> None:
        """Add one."""
        ...

    def by_token(self, token_sha256: str) -> InvitationRecord | None:
        """Return the invitation with this token."""
        ...

    def get(self, invitation_id: str) -> InvitationRecord | None:
        """Return the invitation with this id."""
        ...

    def open_at(self, now: datetime, principal_id: str | None = None) -> list[InvitationRecord]:
        """Return those that are neither used, voided nor expired, of one principal or all, oldest first."""
        ...

    def unused_since(self, principal_id: str, since: datetime) -> list[InvitationRecord]:
        """Return those of a principal that were made since then and never used, oldest first."""
        ...

    def redeem(self, invitation_id: str, certificate_id: str, used_at: datetime) -> bool:
        """Mark it used for that certificate if it is open: not used, not voided, not expired at `used_at`.

        One statement compares and sets, so the answer is True for exactly one caller.
        """
        ...

    def void(self, invitation_id: str, voided_at: datetime) -> bool:
        """Withdraw it if it was neither used nor voided; True for exactly one caller, as for `redeem`."""
        ...
