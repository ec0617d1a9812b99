"""The policy gate: which policy Envoy enforces for each application; a judgement waits here until Envoy enforces its policy.

Not here: publishing. Between the commit of a new policy and Envoy's confirmation there are some hundred
milliseconds; if Envoy refuses the policy, it takes until the policy is corrected. A connection judged by the new policy
must not run under other rules. So its answer waits here until Envoy enforces for its application exactly the
policy that the judgement used; otherwise the connection is refused.

Two revisions with the same policy for an application count as one: a revision that Envoy refuses closes only the
applications that it changes. While a revision is published, a policy counts as enforced only if it is the same before and
after. If the result of the publication is unknown, that remains so. An application is closed if Envoy refused a part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from doorward.policy.model import AppPolicy
from doorward.stores.policy_snapshot import PolicySnapshot

MOST_RECENT = 8
"""Policies kept for a TCP application: its connections may wait for their first byte while rules are edited."""


class PolicyGate:
    """The gate, used by the authorizer (`wait`) and by publishing (`open`, `begin_change` …); safe between threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._revision = -1
        self._refused = -1
        self._enforced: Mapping[str, AppPolicy] = {}
        self._closed: frozenset[str] = frozenset()
        self._recent: Mapping[str, tuple[AppPolicy, ...]] = {}

    @property
    def revision(self) -> int:
        """The revision that Envoy has confirmed; -1 before the first."""
        with self._condition:
            return self._revision

    def open(self, snapshot: PolicySnapshot, *, closed: Collection[str] = ()) -> None:
        """Note that Envoy enforces this snapshot, and wake the judgements that wait.

        Args:
            snapshot: the policy.
            closed: ids of applications that are closed, because Envoy refused a part of them.
        """
        with self._condition:
            self._revision, self._refused, self._closed = snapshot.revision, -1, frozenset(closed)
            policies = {one: app for one, app in snapshot.policies.items() if one not in self._closed}
            self._recent = {
                one: (app, *(former for former in self._recent.get(one, ()) if former != app))[:MOST_RECENT]
                for one, app in policies.items()
                if app.is_tcp
            }
            self._enforced = policies
            self._condition.notify_all()

    def recently_enforced(self, application_id: str) -> tuple[AppPolicy, ...]:
        """Return the last policies that Envoy confirmed for a TCP application, newest first, each once."""
        with self._condition:
            return self._recent.get(application_id, ())

    def enforced(self, application_id: str) -> AppPolicy | None:
        """Return the policy that Envoy enforces for an application now."""
        with self._condition:
            return self._enforced.get(application_id)

    def has_refusal_page(self, application_id: str) -> bool:
        """Return whether Envoy answers every refused connection of this application with a page."""
        with self._condition:
            known = self._enforced.get(application_id)
            return known is not None and known.has_refusal_page

    def suspend(self) -> None:
        """Note that Envoy enforces nothing yet, because it is about to start: until `open`, no judgement goes on.

        Its listener may be open before all of its route tables are there. A connection that was let in then would be
        refused by rules that are missing, with a wrong reason.
        """
        with self._condition:
            self._enforced = {}

    def begin_change(self, snapshot: PolicySnapshot) -> None:
        """Note that this snapshot is being published: until `open`, only policies equal in both count."""
        with self._condition:
            self._enforced = {
                one: app for one, app in self._enforced.items() if app == snapshot.policies.get(one)
            }

    def refuse(self, revision: int) -> None:
        """Note that Envoy will not enforce this revision: no judgement waits for it any more."""
        with self._condition:
            self._refused = revision
            self._condition.notify_all()

    def closed_applications(self, snapshot: PolicySnapshot) -> list[str]:
        """Return the sorted names of the applications for which Envoy does not enforce the policy of this snapshot."""
        with self._condition:
            return sorted(app.name for one, app in snapshot.policies.items() if not self._enforces(one, app))

    def wait(self, revision: int, application_id: str, policy: AppPolicy, timeout_seconds: float) -> bool:
        """Return True once Envoy enforces exactly this policy; False if the time is over or it never will.

        Args:
            revision: the revision used by the judgement. Once a newer one is in force, the result is False: judge again.
            application_id: of the connection.
            policy: the application's policy in that revision.
            timeout_seconds: how long to wait at most.
        """
        with self._condition:
            self._condition.wait_for(
                lambda: self._enforces(application_id, policy) or self._will_not(revision, application_id),
                timeout_seconds,
            )
            return self._revision <= revision and self._enforces(application_id, policy)

    def enforces(self, revision: int, application_id: str, policy: AppPolicy) -> bool:
        """Return what `wait` would return now, without waiting."""
        with self._condition:
            return self._revision <= revision and self._enforces(application_id, policy)

    def _will_not(self, revision: int, application_id: str) -> bool:
        is_closed = self._revision >= revision and application_id in self._closed
        return self._revision > revision or self._refused >= revision or is_closed

    def _enforces(self, application_id: str, policy: AppPolicy) -> bool:
        known = self._enforced.get(application_id)
        return known is policy or known == policy
