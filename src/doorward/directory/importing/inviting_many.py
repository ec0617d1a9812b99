"""One-time links for many principals, some dozen in each transaction.

The tokens of a transaction are handed over before it is committed, because a token that was lost after the commit is a
link that its device never gets. So the receiver may hold tokens of a transaction that was rolled back: `find_open` says
which tokens are good.

Not here: one invitation (`directory.inviting`), the file of the tokens (`runtime.invitation_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from doorward.authority.holder_certificates import has_certificate
from doorward.core.entities import PrincipalState
from doorward.directory.invitations import find_fault, hash_token
from doorward.directory.inviting import invite_within
from doorward.stores.protocols import Stores
from doorward.stores.services import Services

BATCH = 64
"""As for an import (`adding`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """A one-time link of a principal."""

    name: str
    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        # Printed values end up in logs; the token must not.
        return f"Invited(name={self.name!r})"


@dataclass(slots=True)
class InvitedMany:
    """How many were invited, and the names that got no link.

    Args:
        count: new links.
        with_certificate: names that have a certificate already, valid or on hold: a link would give back what an operator held.
        not_invitable: names that are suspended, of a partner, or not in the directory any more.
    """

    count: int = 0
    with_certificate: list[str] = field(default_factory=list)
    not_invitable: list[str] = field(default_factory=list)


def invite_many(
    services: Services,
    names: Sequence[str],
    *,
    lifetime: timedelta,
    actor: str,
    keep: Callable[[Sequence[Invited]], None],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> InvitedMany:
    """Make a link for each principal without a valid certificate; an earlier open link of it is voided.

    Args:
        services: the ports of this process.
        names: of the principals.
        lifetime: more than 0, at most `inviting.LONGEST_LIFETIME`; the caller has checked it.
        actor: who invites.
        keep: stores the links of one transaction durably; called before the commit.
        progress: called after each transaction with the number of names that are done, and of all.
    """
    done = InvitedMany()
    for at in range(0, len(names), BATCH):
        batch = names[at : at + BATCH]
        made: list[Invited] = []
        with services.work.change() as stores:
            for name in batch:
                principal = stores.directory.by_name(name)
                if principal is None or principal.state is not PrincipalState.ACTIVE or principal.partner:
                    done.not_invitable.append(name)
                elif has_certificate(stores, principal.id):
                    done.with_certificate.append(name)
                else:
                    invitation = invite_within(services, stores, principal, lifetime=lifetime, actor=actor)
                    expires_at = invitation.record.expires_at
                    made.append(Invited(name=name, token=invitation.token, expires_at=expires_at))
            keep(made)
        done.count += len(made)
        progress(at + len(batch), len(names))
    return done


def find_open(services: Services, known: Iterable[Invited]) -> list[Invited]:
    """Return those links that can still be used, by the principal that they name."""
    now = services.clock.now()
    with services.work.read() as stores:
        return [one for one in known if _is_open(stores, one, now)]


def _is_open(stores: Stores, invited: Invited, now: datetime) -> bool:
    record = stores.invitations.by_token(hash_token(invited.token))
    if record is None or find_fault(stores, record, now):
        return False
    principal = stores.directory.get(record.principal_id)
    return principal is not None and principal.name == invited.name
