"""What checking a log found: every fault with its place, and what the result rests on.

Not here: the checking (`verifying`, `export`). A report has no truth value, so that nobody takes
"no fault" for "proved": without a checkpoint and a key from elsewhere a log only agrees with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from doorward.core.errors import IntegrityError

MAX_FAULTS = 100
"""Faults with a place that are listed; a log that is altered throughout would list itself."""


class LogFaultCode(Enum):
    """What can be wrong with a log."""

    LEAF_ALTERED = "leaf-altered"
    LEAF_MISSING = "leaf-missing"
    LEAF_MISLABELLED = "leaf-mislabelled"
    NODE_ALTERED = "node-altered"
    LOG_TRUNCATED = "log-truncated"
    ROOT_MISMATCH = "root-mismatch"
    CHECKPOINT_INVALID = "checkpoint-invalid"
    CHECKPOINT_FOREIGN = "checkpoint-foreign"
    CHECKPOINT_MISSING = "checkpoint-missing"
    PERSONAL_ALTERED = "personal-altered"
    EXPORT_MALFORMED = "export-malformed"
    SCHEMA_ALTERED = "schema-altered"
    STORE_DAMAGED = "store-damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFault:
    """One fault.

    `number` is the leaf's number from 0, `event_id` and `event_type` what that leaf calls itself,
    `field` a personal field, `line` a line of an export from 1; None and "" where there is none.
    """

    code: LogFaultCode
    message: str
    number: int | None = None
    event_id: str = ""
    event_type: str = ""
    field: str = ""
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.code.value}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """The result of checking a log or an export.

    Args:
        origin: the log's name as its checkpoints have it; empty without one.
        size: leaves that were read.
        root: the root over them, recomputed, 32 bytes.
        anchored_size: how many leaves, from the first, a checkpoint vouches for whose root agreed;
            the leaves after it are vouched for by nobody.
        signature_verified: every checkpoint used was verified with a key that the caller gave.
        opened: personal values that agreed with their commitments.
        redacted: commitments whose value is no longer (or not) there.
        faults: at most 100 with a place in the log, then those of the log as a whole.
        faults_omitted: further ones with a place, counted only.
    """

    origin: str
    size: int
    root: bytes
    anchored_size: int
    signature_verified: bool
    opened: int
    redacted: int
    faults: tuple[LogFault, ...]
    faults_omitted: int = 0

    def __bool__(self) -> NoReturn:
        raise TypeError("a VerificationReport has no truth value; read .faults or call .require()")

    @property
    def verified(self) -> bool:
        """Whether no fault was found and a signature was checked; otherwise a log only agrees with itself."""
        return self.signature_verified and not self.faults

    def require(self) -> None:
        """Return where no fault was found; raise `IntegrityError` (`log-altered`) otherwise."""
        if self.faults:
            count = len(self.faults) + self.faults_omitted
            more = f" (and {count - 1} more)" if count > 1 else ""
            raise IntegrityError("log-altered", f"{self.faults[0]}{more}", faults=count)
