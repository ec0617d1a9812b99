"""The judge of a log: takes its leaves in order and collects everything that is wrong with them.

Not here: where the leaves come from (`verifying` reads the store, `export` reads a file) and the
faults that only one of the two can see. A judge is used once.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from doorward.audit.leaf import CommitmentOpening, count_commitments, opens_leaf
from doorward.audit.merkle import Accumulator, NodeRun
from doorward.audit.note import Checkpoint, VerifierKey, open_checkpoint, parse_checkpoint, parse_note
from doorward.audit.report import MAX_FAULTS, LogFault, LogFaultCode, VerificationReport
from doorward.audit.values import printable
from doorward.core.errors import DoorwardError

_TYPE = re.compile(rb'"type":"([a-z-]{1,64}:[a-z-]{1,64})"')
_EVENT_ID = re.compile(rb'"id":"([a-z0-9_]{1,64})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCheckpoint:
    """A checkpoint to hold the log against, and where it came from."""

    source: str
    checkpoint: Checkpoint


class LogJudge:
    """Takes leaves in order and collects what is wrong with them: the steps that store and export share."""

    def __init__(self, key: VerifierKey | None) -> None:
        self.faults: list[LogFault] = []
        self._overall: list[LogFault] = []
        self.faults_omitted = 0
        self.opened = 0
        self.redacted = 0
        self._key = key
        self._references: dict[int, list[ReferenceCheckpoint]] = {}
        self._origin: str | None = None
        self._largest = 0
        self._mismatched: set[str] = set()
        self._tree = Accumulator()
        self._anchored_size = 0
        self._unsigned = ""

    @property
    def size(self) -> int:
        """Leaves taken so far."""
        return self._tree.size

    def add_fault(
        self,
        code: LogFaultCode,
        message: str,
        *,
        number: int | None = None,
        leaf: bytes = b"",
        event_id: str = "",
        field: str = "",
        line: int | None = None,
    ) -> None:
        """Note a fault; `leaf` gives the id and type where it still can."""
        if len(self.faults) >= MAX_FAULTS:
            self.faults_omitted += 1
            return
        event_type, event_id = describe_leaf(leaf, event_id)
        of_event = f" ({event_type} {event_id})" if event_id else ""
        self.faults.append(
            LogFault(
                code=code,
                message=message + of_event,
                number=number,
                event_id=event_id,
                event_type=event_type,
                field=field,
                line=line,
            )
        )

    def add_overall_fault(self, code: LogFaultCode, message: str) -> None:
        """Note a fault of the log as a whole: listed after those with a place, and never crowded out."""
        self._overall.append(LogFault(code=code, message=message))

    def add_checkpoint(self, source: str, text: str, *, filed_under: int | None = None) -> None:
        """Add a checkpoint (step 1), before the leaf behind its last; a bad one is a fault.

        Args:
            source: where it came from, for messages.
            text: the signed note.
            filed_under: the size that the store keeps it under; it must be the checkpoint's own.
        """
        named = source if filed_under is None else f"{source} (under {filed_under} leaves)"
        try:
            if self._key is None:
                checkpoint = parse_checkpoint(parse_note(text).unverified_text)
            else:
                checkpoint = open_checkpoint(text, [self._key])
        except DoorwardError as error:
            self.add_fault(LogFaultCode.CHECKPOINT_INVALID, f"the {named} checkpoint: {error.detail}")
            return
        if filed_under is not None and filed_under != checkpoint.size:
            message = f"the {named} checkpoint is one of {checkpoint.size} leaves"
            self.add_fault(LogFaultCode.CHECKPOINT_INVALID, message)
            return
        if self._origin is not None and self._origin != checkpoint.origin:
            self.add_fault(LogFaultCode.CHECKPOINT_FOREIGN, f"the {named} checkpoint is of another log")
            return
        self._origin = checkpoint.origin
        self._largest = max(self._largest, checkpoint.size)
        self._references.setdefault(checkpoint.size, []).append(
            ReferenceCheckpoint(source=source, checkpoint=checkpoint)
        )
        if checkpoint.size == self.size:
            self._compare_roots()

    def note_missing_checkpoint(self, holder: str) -> None:
        """Note that the log or export itself (`holder`, for the message) came without a checkpoint."""
        self._unsigned = holder

    def extend(self, hashes: Sequence[bytes]) -> list[NodeRun]:
        """Take the next leaf hashes, stopping at each anchor's size to compare the root (step 5)."""
        runs: list[NodeRun] = []
        end = self.size + len(hashes)
        stops = sorted(size for size in self._references if self.size < size <= end)
        for stop in [*stops, self.size + len(hashes)]:
            room = stop - self.size
            if 0 < room <= len(hashes):
                runs += self._tree.extend(hashes[:room])
                hashes = hashes[room:]
                self._compare_roots()
        return runs

    def check_personal(self, number: int, leaf: bytes, openings: Iterable[CommitmentOpening]) -> None:
        """Hold the personal values of one leaf against their commitments (step 6)."""
        left = count_commitments(leaf)
        for opening in openings:
            if opens_leaf(leaf, opening.field, opening.value, opening.salt):
                self.opened += 1
                left -= 1
            else:
                field = printable(opening.field, 64)  # an export may call it anything
                message = f"leaf {number}: the value of {field} is not what was committed to"
                self.add_fault(LogFaultCode.PERSONAL_ALTERED, message, number=number, leaf=leaf, field=field)
        self.redacted += max(left, 0)

    def report(self) -> VerificationReport:
        """Finish: checkpoints beyond the end are truncation; with a key, leaves under none are a fault."""
        beyond = {
            one.source: size for size, references in sorted(self._references.items()) for one in references
        }
        for source, size in beyond.items():  # the largest of each source
            self.add_overall_fault(
                LogFaultCode.LOG_TRUNCATED,
                f"the {source} checkpoint covers {size} leaves, the log has {self.size}",
            )
        self._check_covered()
        return VerificationReport(
            origin=self._origin or "",
            size=self.size,
            root=self._tree.root(),
            anchored_size=self._anchored_size,
            signature_verified=self._key is not None and self._origin is not None,
            opened=self.opened,
            redacted=self.redacted,
            faults=(*self.faults, *self._overall),
            faults_omitted=self.faults_omitted,
        )

    def _check_covered(self) -> None:
        """A log signs its first leaves as it takes them: leaves and no checkpoint means that it was removed.

        Without this, whoever rewrites a log would only have to leave the signature out.
        """
        empty = self._origin is not None and not self._largest
        nothing = "every checkpoint is of the empty log" if empty else ""
        why = self._unsigned and f"the {self._unsigned} holds no signed checkpoint"
        open_leaves = self.size - self._anchored_size
        if self._key is not None and open_leaves and (why or nothing):
            self.add_overall_fault(
                LogFaultCode.CHECKPOINT_MISSING,
                f"{why or nothing}: nobody vouches for {open_leaves} of {self.size} leaves",
            )

    def _compare_roots(self) -> None:
        """Hold what was taken so far against every checkpoint of its size."""
        for reference in self._references.pop(self.size, ()):
            if reference.checkpoint.root == self._tree.root():
                self._anchored_size = self.size
            elif reference.source in self._mismatched:
                self.faults_omitted += 1  # a rewritten record differs from every later one as well
            else:
                self._mismatched.add(reference.source)
                self.add_overall_fault(
                    LogFaultCode.ROOT_MISMATCH,
                    f"the first {self.size} leaves are not those of the {reference.source} checkpoint",
                )


def describe_leaf(leaf: bytes, event_id: str = "") -> tuple[str, str]:
    """Return (event type, event id) as far as a leaf, perhaps an altered one, still tells them."""
    event_type, own_id = _TYPE.search(leaf), _EVENT_ID.search(leaf)
    return (
        event_type[1].decode() if event_type else "",
        printable(event_id, 64) or (own_id[1].decode() if own_id else ""),
    )
