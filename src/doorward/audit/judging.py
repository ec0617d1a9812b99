"""The checks that a log and an export have in common: a judge reads the leaves in order and collects the faults.

Not here: reading the leaves (`verifying` from the store, `export` from a file), and the
faults that only one of the two can have. A judge is used once.

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
    """A checkpoint to compare the log with, and its source."""

    source: str
    checkpoint: Checkpoint


class LogJudge:
    """Reads leaves in order and collects faults: the steps that verifying a store and an export have in common."""

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
        """Leaves read so far."""
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
        """Add a fault; the event's id and type are taken from `leaf`, if they can still be read."""
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
        """Add a fault of the whole log: listed after the faults with a place, and never omitted."""
        self._overall.append(LogFault(code=code, message=message))

    def add_checkpoint(self, source: str, text: str, *, filed_under: int | None = None) -> None:
        """Add a checkpoint (step 1), before more leaves are read than it covers; a bad one is a fault.

        Args:
            source: where it came from, for messages.
            text: the signed note.
            filed_under: the size under which the store keeps it; it must be the size in the checkpoint.
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
        """Note that the log or export itself (`holder`, for the message) has no checkpoint."""
        self._unsigned = holder

    def extend(self, hashes: Sequence[bytes]) -> list[NodeRun]:
        """Add the next leaf hashes; at the size of each checkpoint, compare the root (step 5)."""
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

    def check_personal(
        self, first: int, leaves: Sequence[bytes], openings: Iterable[tuple[int, CommitmentOpening]]
    ) -> None:
        """Compare the personal values of leaves with their commitments (step 6).

        Args:
            first: the number of the first leaf.
            leaves: one after the other; a missing leaf is empty, and its openings are not compared.
            openings: (number of one of these leaves, opening), in any order.
        """
        left = [count_commitments(leaf) for leaf in leaves]
        for number, opening in openings:
            leaf = leaves[number - first]
            if opens_leaf(leaf, opening.field, opening.value, opening.salt):
                self.opened += 1
                left[number - first] -= 1
            elif leaf:
                field = printable(opening.field, 64)  # an export may call it anything
                message = f"leaf {number}: the value of {field} does not match its commitment"
                self.add_fault(LogFaultCode.PERSONAL_ALTERED, message, number=number, leaf=leaf, field=field)
        self.redacted += sum(one for one in left if one > 0)

    def report(self) -> VerificationReport:
        """Return the report. A checkpoint beyond the end means truncation; with a key, a missing checkpoint is a fault."""
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
        """A log signs a checkpoint as soon as it has leaves. So leaves without a checkpoint mean that it was removed.

        Without this check, an attacker who rewrites a log could simply leave the signature out.
        """
        empty = self._origin is not None and not self._largest
        nothing = "every checkpoint is for the empty log" if empty else ""
        why = self._unsigned and f"the {self._unsigned} holds no signed checkpoint"
        open_leaves = self.size - self._anchored_size
        if self._key is not None and open_leaves and (why or nothing):
            self.add_overall_fault(
                LogFaultCode.CHECKPOINT_MISSING,
                f"{why or nothing}: {open_leaves} of {self.size} leaves are not covered by a signature",
            )

    def _compare_roots(self) -> None:
        """Compare the root of the leaves so far with every checkpoint of this size."""
        for reference in self._references.pop(self.size, ()):
            if reference.checkpoint.root == self._tree.root():
                self._anchored_size = self.size
            elif reference.source in self._mismatched:
                self.faults_omitted += 1  # if one root differs, all later ones differ too
            else:
                self._mismatched.add(reference.source)
                self.add_overall_fault(
                    LogFaultCode.ROOT_MISMATCH,
                    f"the first {self.size} leaves are not those of the {reference.source} checkpoint",
                )


def describe_leaf(leaf: bytes, event_id: str = "") -> tuple[str, str]:
    """Return (event type, event id) of a leaf, which may be altered; empty if they cannot be read."""
    event_type, own_id = _TYPE.search(leaf), _EVENT_ID.search(leaf)
    return (
        event_type[1].decode() if event_type else "",
        printable(event_id, 64) or (own_id[1].decode() if own_id else ""),
    )
