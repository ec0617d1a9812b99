"""The report of a verified log: every fault with its place, and what the result is based on.

Not here: verifying (`verifying`, `export`). A report has no truth value, because "no fault" is not a
proof: without a checkpoint and a key that were kept outside of the log, it only means that the log is consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from doorward.core.errors import IntegrityError

MAX_FAULTS = 100
"""At most this many faults with a place are listed, for a log in which every leaf was altered."""


class LogFaultCode(Enum):
    """The kinds of faults of a log."""

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
    INDEX_ALTERED = "index-altered"
    EXPORT_MALFORMED = "export-malformed"
    SCHEMA_ALTERED = "schema-altered"
    STORE_DAMAGED = "store-damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFault:
    """One fault.

    `number` is the number of the leaf, from 0; `event_id` and `event_type` are read from the leaf;
    `field` is a personal field; `line` is a line of an export, from 1. None or "" means that there is none.
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
    """The result of verifying a log or an export.

    Args:
        origin: the log's name in its checkpoints; empty if there is no checkpoint.
        size: leaves that were read.
        root: the recomputed root over them, 32 bytes.
        anchored_size: the number of leaves, from the first, that are covered by a checkpoint with the same root;
            the leaves after them are not covered.
        signature_verified: whether every checkpoint was verified with a key that the caller gave.
        opened: personal values that match their commitments.
        redacted: commitments without a value, because it was erased or not exported.
        faults: at most 100 with a place in the log, then the faults of the whole log.
        faults_omitted: the number of further faults with a place.
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
        """Whether a signature was verified and no fault was found."""
        return self.signature_verified and not self.faults

    def require(self) -> None:
        """Return if no fault was found; raise `IntegrityError` (`log-altered`) otherwise."""
        if self.faults:
            count = len(self.faults) + self.faults_omitted
            more = f" (and {count - 1} more)" if count > 1 else ""
            raise IntegrityError("log-altered", f"{self.faults[0]}{more}", faults=count)
