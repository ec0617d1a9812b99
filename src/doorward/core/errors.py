"""The tree of errors: what can go wrong, with messages that are safe to show.

Not here: HTTP status codes and exit codes. Each edge (web, command line, audit) renders these
errors in one place of its own.

    DoorwardError
     +-- MalformedInput       bytes or text that cannot be parsed
     +-- RequestRefused       understood, but a rule forbids it
     |    +-- NotFound        the named thing does not exist
     +-- AccessDenied         a verdict is not good, but the operation requires a good one
     +-- ConfigurationError   settings or a policy document with faults, each with file and line
     +-- IntegrityError       stored evidence contradicts itself: stop, never repair silently
     +-- Unavailable          a component is missing, busy or locked; a later attempt may succeed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DoorwardError(Exception):
    """Base of every error that Doorward raises on purpose.

    Args:
        code: stable kebab-case word; scripts and tests rely on it.
        detail: one sentence that is safe for the peer: no secret, no path on the server.
        hint: what to do next, for the person who reads it.
        context: values for the log and `--json`; safe for an operator, not always for a peer.
    """

    def __init__(self, code: str, detail: str, *, hint: str = "", **context: str | int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return self.detail


class MalformedInput(DoorwardError):
    """Bytes or text that cannot be parsed, or that exceed a stated limit."""


class RequestRefused(DoorwardError):
    """The request was understood, and a rule forbids it."""


class NotFound(RequestRefused):
    """The named thing does not exist in this tenant."""


class AccessDenied(DoorwardError):
    """The operation requires a good verdict, and the verdict is not good; `reasons` are the verdict's reason codes."""

    def __init__(self, detail: str, *, reasons: Sequence[str], hint: str = "") -> None:
        super().__init__("access-denied", detail, hint=hint)
        self.reasons = tuple(reasons)


class IntegrityError(DoorwardError):
    """Stored evidence contradicts itself. It is never repaired silently."""


class Unavailable(DoorwardError):
    """A component that is needed is missing, busy or locked; the same call may succeed later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a configuration, with its place if it has one.

    `line` and `column` count from 1; 0 means that the fault has no place in the text, or none within its line.
    """

    code: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        # Some faults have no file: a port that is in use, a setting that is missing.
        column = f":{self.column}" if self.column else ""
        place = f"{self.file or 'document'}:{self.line}{column}" if self.line else self.file
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.key})" if self.key else text


class ConfigurationError(DoorwardError):
    """Settings or a policy document with faults; it lists all of them, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        if not faults:
            raise ValueError("a ConfigurationError needs at least one fault")
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(first.code, f"{first}{more}", hint=first.hint)
