"""Requests for a publication: because of a change of the policy, a gain of live connections, or a new server certificate.

Not here: publishing (transition). A failed publication is not tried again before a pause: otherwise a policy that Envoy
refuses would be tried without end at full speed.
"""

from __future__ import annotations

import threading


class PublicationRequests:
    """The open requests; safe between threads, with one thread that publishes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._asked: tuple[int, ...] = ()
        self._tried = 0
        self._certificates_moved = False
        self._gained = False

    def request(self, seq: int) -> None:
        """Ask for a publication of everything up to a change number; returns at once."""
        with self._condition:
            self._asked = (*self._asked, seq)
            self._condition.notify_all()

    def refresh(self) -> None:
        """Ask for new aliases because connections gained permissions; returns at once."""
        with self._condition:
            self._gained = True
            self._condition.notify_all()

    def order_changed(self) -> None:
        """Note that an order for a server certificate changed."""
        with self._condition:
            self._certificates_moved = True
            self._condition.notify_all()

    def pending(self) -> int | None:
        """Return the oldest change number that is requested and not in force; None if there is none."""
        with self._condition:
            return min(self._asked, default=None)

    def wake(self) -> None:
        """Make the thread that waits check its stop flag."""
        with self._condition:
            self._condition.notify_all()

    def complete(self, seq: int) -> None:
        """Note that everything up to a change number is in force."""
        with self._condition:
            self._asked = tuple(one for one in self._asked if one > seq)

    def await_next(self, stop: threading.Event, seconds: float) -> None:
        """Wait until there is a new request, `stop` is set, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: stop.is_set() or self.is_due(), seconds)
            self._certificates_moved = self._gained = False
            self._tried = max(self._asked, default=0)

    def await_order(self, seconds: float) -> None:
        """Wait until an order changed, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._certificates_moved, seconds)
            self._certificates_moved = False

    def pause(self, seconds: float) -> None:
        """Wait, at most until the next request."""
        with self._condition:
            self._condition.wait(seconds)

    def is_due(self) -> bool:
        """Return whether there is a request that was not tried yet."""
        with self._condition:
            return self._certificates_moved or self._gained or max(self._asked, default=0) > self._tried
