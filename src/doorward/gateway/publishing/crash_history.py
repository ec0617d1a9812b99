"""Which configuration Envoy dies of: what it was given, when, and how it ended.

Not here: starting Envoy (supervisor), and what is published instead (publishing). `--mode validate` finds
what Envoy refuses; it does not find what makes Envoy crash once it runs. A configuration that did would be
given to the next Envoy as well, and all doors would be shut for the sake of one.

The rules:
1. an Envoy that crashes soon after it was given a configuration, or that starts and refuses a part of it,
   blames that configuration, at once;
2. one that does not start in time, or is killed from outside, may have other reasons (a busy machine, no
   memory): the third time in a row blames the configuration;
3. a configuration that ran well for long is never blamed: an attacker who can crash Envoy by a request would
   otherwise decide which applications are closed;
4. blame lasts as long as this process: a restart of the gateway tries the configuration again.
"""

from __future__ import annotations

import signal
import threading

from doorward.core.errors import ConfigurationError, Fault
from doorward.core.ports import Clock
from doorward.gateway.publishing.last_published import Configuration

SOON_SECONDS = 30.0
"""A crash within this time of being given a configuration is blamed on it."""

PROVEN_SECONDS = 600.0
"""A configuration that ran for this time is not blamed any more."""

MOST_UNCLEAR = 3
"""Ends that may have other reasons, in a row, before the configuration is blamed."""

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
    """What Envoy was given and how it took it; safe between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._given: Configuration | None = None
        self._since = 0.0
        self._proven: Configuration | None = None
        self._unclear = 0
        self._blamed: dict[int, tuple[Configuration, str]] = {}

    def give(self, what: Configuration) -> None:
        """Note that Envoy is about to be given this, or that a fresh Envoy starts with it."""
        with self._lock:
            self._note_proven()
            if what != self._given:
                self._unclear = 0
            self._given, self._since = what, self._clock.monotonic()

    def has(self, what: Configuration) -> bool:
        """Return whether this is what Envoy was given last."""
        with self._lock:
            return self._given == what

    @property
    def given(self) -> Configuration | None:
        """What Envoy was given last; None before the first."""
        with self._lock:
            return self._given

    def end(self, status: int | None, words: str, *, refused: bool = False) -> bool:
        """Note that Envoy ended, or was not taken for ready; return whether its configuration is blamed for it.

        Args:
            status: its exit status, or minus the signal; None if it did not come to run as it should.
            words: what is known of the reason.
            refused: whether Envoy said itself that it does not take what it was given.
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
        """Return unless Envoy is known to die of this.

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
                        message=f"Envoy does not live with it: {words}",
                        hint="mend what the revision changed and apply it; "
                        "or restart the gateway, which tries it once more",
                    )
                ]
            )

    def _note_proven(self) -> None:
        if self._given is not None and self._clock.monotonic() - self._since >= PROVEN_SECONDS:
            self._proven = self._given
