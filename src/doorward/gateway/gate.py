"""The policy gate: which revision Envoy enforces, and waiting for the one that a judgement rests on.

Not here: publishing. Between the commit of a new policy and Envoy's confirmation lie some
hundred milliseconds. A connection judged by the new policy must not run under the old rules, so its
answer waits here until the new rules are in force, or is refused.
"""

from __future__ import annotations

import threading


class PolicyGate:
    """Shared by the authorizer (waits) and the publishing side (opens); safe between threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._revision = -1

    @property
    def revision(self) -> int:
        """The revision that Envoy has confirmed; -1 before the first."""
        with self._condition:
            return self._revision

    def open(self, revision: int) -> None:
        """Note that Envoy enforces this revision, and let the waiting ones go on."""
        with self._condition:
            self._revision = revision
            self._condition.notify_all()

    def wait(self, revision: int, timeout_seconds: float) -> bool:
        """Return True once exactly this revision is in force; False when the time is over or it was passed."""
        with self._condition:
            self._condition.wait_for(lambda: self._revision >= revision, timeout_seconds)
            return self._revision == revision
