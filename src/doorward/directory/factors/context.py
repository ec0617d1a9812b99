"""The values that the use cases of factors need beside the services; `runtime.compose` builds them once.

Not here: the parts themselves (`pending`, `budget`, `attempts`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from doorward.audit.counting import EventLimiter
from doorward.directory.factors.budget import HashBudget
from doorward.directory.factors.failure_events import FailureEventLimiter
from doorward.directory.factors.pending import PendingTable
from doorward.factors.password import BreachedPasswords, NoBreachedPasswords, PasswordCost
from doorward.factors.webauthn import RelyingParty
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorContext:
    """The dependencies of second factors in one process.

    Args:
        services: with keys, which seal the secrets of TOTP.
        party: the portal: host, origin and name.
        cost: of one password hash.
        breached: the operator's list of breached passwords.
        known_words: words that an attacker would guess first: names of applications and of the organisation.
        budget: the limit of password hashes.
        pending: challenges and secrets that wait for an answer.
        failure_limiter: which failures are recorded singly, and which only counted.
    """

    services: Services
    party: RelyingParty
    cost: PasswordCost = field(default_factory=PasswordCost)
    breached: BreachedPasswords = field(default_factory=NoBreachedPasswords)
    known_words: tuple[str, ...] = ()
    budget: HashBudget = field(default_factory=HashBudget)
    pending: PendingTable = field(default_factory=PendingTable)
    failure_limiter: FailureEventLimiter = field(default_factory=lambda: FailureEventLimiter(EventLimiter()))
