"""The policy gate: which policy Envoy enforces for each application, and waiting for the one judged by.

Not here: publishing. Between the commit of a new policy and Envoy's confirmation lie some hundred
milliseconds, or, where Envoy refuses it, as long as it takes to mend it. A connection judged by the
new policy must not run under other rules. So its answer waits here until Envoy enforces for its
application exactly the policy that the judgement rests on, or is refused.

Two revisions that say the same about an application are one policy for it: whatever is refused about
one application shuts none of the others. While files are exchanged, only what is the same before and
after counts as enforced; where it is not known how an exchange ended, that stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from doorward.policy.model import AppPolicy
from doorward.stores.policy_snapshot import PolicySnapshot

LATELY = 8
"""Policies remembered for a TCP application: its connections may wait for their first byte while rules are edited."""


class PolicyGate:
    """Shared by the authorizer (waits) and the publishing side (opens); safe between threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._revision = -1
        self._refused = -1
        self._enforced: Mapping[str, AppPolicy] = {}
        self._before: Mapping[str, AppPolicy] = {}
        self._lately: Mapping[str, tuple[AppPolicy, ...]] = {}

    @property
    def revision(self) -> int:
        """The revision that Envoy has confirmed; -1 before the first."""
        with self._condition:
            return self._revision

    def open(self, snapshot: PolicySnapshot) -> None:
        """Note what Envoy enforces, and let the waiting ones go on."""
        with self._condition:
            self._revision, self._refused = snapshot.revision, -1
            self._lately = {
                one: (app, *(former for former in self._lately.get(one, ()) if former != app))[:LATELY]
                for one, app in snapshot.policies.items()
                if app.is_tcp
            }
            self._enforced = self._before = snapshot.policies
            self._condition.notify_all()

    def enforced_lately(self, application_id: str) -> tuple[AppPolicy, ...]:
        """Return the policies that Envoy confirmed for a TCP application lately, newest first, each once."""
        with self._condition:
            return self._lately.get(application_id, ())

    def explains_refusal(self, application_id: str) -> bool:
        """Return whether Envoy answers every refused connection of this application with a page."""
        with self._condition:
            known = self._enforced.get(application_id)
            return known is not None and known.explains_refusal

    def move(self, snapshot: PolicySnapshot) -> None:
        """Note that Envoy is about to be told this: until `open` or `stay`, only what is equal counts."""
        with self._condition:
            self._before = self._enforced
            self._enforced = {
                one: app for one, app in self._enforced.items() if app == snapshot.policies.get(one)
            }

    def stay(self) -> None:
        """Note that what counted before `move` is in force still, for certain."""
        with self._condition:
            self._enforced = self._before
            self._condition.notify_all()

    def refuse(self, revision: int) -> None:
        """Note that Envoy will not enforce this revision: no connection need wait for it."""
        with self._condition:
            self._refused = revision
            self._condition.notify_all()

    def closed(self, snapshot: PolicySnapshot) -> list[str]:
        """Return the names of applications of which Envoy does not enforce just this policy, sorted."""
        with self._condition:
            return sorted(app.name for one, app in snapshot.policies.items() if not self._enforces(one, app))

    def wait(self, revision: int, application_id: str, policy: AppPolicy, timeout_seconds: float) -> bool:
        """Return True once Envoy enforces just this policy; False when time is over or it never will.

        Args:
            revision: by which was judged. Once a newer one is in force the answer is False: judge again.
            application_id: of the connection.
            policy: the application's, in that revision.
            timeout_seconds: how long to wait at most.
        """
        with self._condition:
            self._condition.wait_for(
                lambda: self._enforces(application_id, policy) or self._will_not(revision), timeout_seconds
            )
            return self._revision <= revision and self._enforces(application_id, policy)

    def _will_not(self, revision: int) -> bool:
        return self._revision > revision or self._refused >= revision

    def _enforces(self, application_id: str, policy: AppPolicy) -> bool:
        known = self._enforced.get(application_id)
        return known is policy or known == policy
