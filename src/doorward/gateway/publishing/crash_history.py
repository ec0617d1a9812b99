"""Which configuration makes Envoy crash: the configurations that it was given, when, and how it ended.

Not here: starting Envoy (supervisor), and the configuration that is given instead (starting). A part that Envoy
refuses closes one application (publication). A configuration that makes Envoy crash would, without this module, be given to
the next Envoy too, and one application would close all doors.

The rules:
1. if Envoy crashes soon after it was given a configuration, or starts and refuses every listener of it, the
   configuration is blamed at once;
2. if Envoy does not start in time, or is killed by another process, there may be other causes (a busy machine, no
   memory): the configuration is blamed at the third time in a row;
3. a configuration that ran well for long is never blamed. Otherwise an attacker who can crash Envoy by a request
   could decide which applications are closed;
4. the blame lasts as long as this process: a restart of the gateway tries the configuration again.
"""

from __future__ import annotations

import signal
import threading

from doorward.core.errors import ConfigurationError, Fault
from doorward.core.ports import Clock
from doorward.gateway.publishing.last_published import Configuration

SOON_SECONDS = 30.0
"""A crash within this time after Envoy was given a configuration is blamed on the configuration."""

PROVEN_SECONDS = 600.0
"""A configuration that ran for this time is never blamed."""

MOST_UNCLEAR = 3
"""Ends in a row that may have other causes, before the configuration is blamed."""

_CRASHES = frozenset(
    -one
    for one in (
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    )
)


class CrashHistory:
    """The configurations that Envoy was given, and those that are blamed; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._given: Configuration | None = None
        self._since = 0.0
        self._proven: Configuration | None = None
        self._unclear = 0
        self._blamed: dict[int, tuple[Configuration, str]] = {}

    def give(self, what: Configuration) -> None:
        """Note that Envoy is about to be given this configuration, or that a new Envoy starts with it."""
        with self._lock:
            self._note_proven()
            if what != self._given:
                self._unclear = 0
            self._given, self._since = what, self._clock.monotonic()

    def was_given(self, what: Configuration) -> bool:
        """Return whether Envoy was given this configuration last."""
        with self._lock:
            return self._given == what

    def note_end(self, status: int | None, words: str, *, refused: bool = False) -> bool:
        """Note that Envoy ended, or did not start properly; return whether its configuration is blamed for it.

        Args:
            status: its exit status, or minus the signal; None if it still runs but did not start properly.
            words: the reason, as far as it is known.
            refused: whether Envoy itself reported that it refuses the configuration.
        """
        with self._lock:
            self._note_proven()
            what = self._given
            if what is None or what == self._proven:
                return False
            if self._clock.monotonic() - self._since > SOON_SECONDS:
                self._unclear = 0
                return False
            self._unclear += 1
            clear = refused or (status is not None and (status in _CRASHES or status > 0))
            if not clear and self._unclear < MOST_UNCLEAR:
                return False
            self._blamed[what.revision] = what, words
            return True

    def check(self, what: Configuration) -> None:
        """Return unless this configuration is blamed for an end of Envoy.

        Raises:
            ConfigurationError: `revision-ends-envoy`.
        """
        with self._lock:
            blamed, words = self._blamed.get(what.revision, (None, ""))
        if blamed == what:
            raise ConfigurationError(
                [
                    Fault(
                        code="revision-ends-envoy",
                        message=f"Envoy ended with this configuration: {words}",
                        hint="correct what this revision changed and apply it; "
                        "or restart the gateway, which tries it once more",
                    )
                ]
            )

    def _note_proven(self) -> None:
        if self._given is not None and self._clock.monotonic() - self._since >= PROVEN_SECONDS:
            self._proven = self._given
