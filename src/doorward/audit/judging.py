"""The checks that a log and an export have in common: a judge reads the leaves in order and collects the faults.

Not here: reading the leaves (`range_check` from the store, `export` from a file), and the
faults that only one of the two can have. A judge is used once.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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


class FaultList:
    """Faults with a place: the first hundred, and the number of the others."""

    def __init__(self) -> None:
        self.faults: list[LogFault] = []
        self.omitted = 0

    def take(self, faults: Iterable[LogFault], omitted: int = 0) -> None:
        """Add faults that were found elsewhere, where `omitted` more were not listed."""
        for one in faults:
            if len(self.faults) < MAX_FAULTS:
                self.faults.append(one)
            else:
                self.omitted += 1
        self.omitted += omitted

    def add(
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
            self.omitted += 1
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


class LogJudge:
    """Reads leaves in order and collects faults: the steps that verifying a store and an export have in common."""

    def __init__(self, key: VerifierKey | None) -> None:
        self.found = FaultList()
        self._overall: list[LogFault] = []
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

    def add_overall_fault(self, code: LogFaultCode, message: str) -> None:
        """Add a fault of the whole log: listed after the faults with a place, and never omitted."""
        self._overall.append(LogFault(code=code, message=message))

    def add_checkpoint(self, source: str, text: str, *, filed_under: int | None = None) -> Checkpoint | None:
        """Add a checkpoint (step 1), before more leaves are read than it covers; return it. A bad one is a fault.

        Args:
            source: where it came from, for messages.
            text: the signed note.
            filed_under: the size under which the store keeps it; it must be the size in the checkpoint.
        """
        checkpoint = read_checkpoint(self.found, self._key, source, text, filed_under=filed_under)
        if checkpoint is not None:
            self.accept_checkpoint(source, checkpoint)
        return checkpoint

    def accept_checkpoint(self, source: str, checkpoint: Checkpoint) -> None:
        """Add a checkpoint that `read_checkpoint` has returned; one of another log is a fault."""
        if self._origin is not None and self._origin != checkpoint.origin:
            message = f"the {source} checkpoint of {checkpoint.size} leaves is of another log"
            self.found.add(LogFaultCode.CHECKPOINT_FOREIGN, message)
            return
        self._origin = checkpoint.origin
        self._largest = max(self._largest, checkpoint.size)
        self._references.setdefault(checkpoint.size, []).append(
            ReferenceCheckpoint(source=source, checkpoint=checkpoint)
        )
        if checkpoint.size == self.size:
            self._compare_roots(self.size, self._tree.root())

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
                self._compare_roots(self.size, self._tree.root())
        return runs

    def append_range(
        self, size: int, peaks: Sequence[bytes], heads: Mapping[int, Sequence[bytes]]
    ) -> list[NodeRun]:
        """Add leaves that were hashed elsewhere, as `Accumulator.append_tree`; compare the roots within (step 5).

        Args:
            size: how many leaves.
            peaks: the peaks of a tree of these leaves alone.
            heads: for each checkpoint that ends within, by its size: the peaks of the leaves of `peaks` before its end.
        """
        for stop in sorted(one for one in self._references if self.size < one <= self.size + size):
            self._compare_roots(stop, self._tree.root(heads[stop]))
        return self._tree.append_tree(size, peaks)

    def check_personal(
        self, first: int, leaves: Sequence[bytes], openings: Iterable[tuple[int, CommitmentOpening]]
    ) -> None:
        """Compare the personal values of leaves with their commitments (step 6), as `check_openings`."""
        opened, redacted = check_openings(self.found, first, leaves, openings)
        self.opened += opened
        self.redacted += redacted

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
            faults=(*self.found.faults, *self._overall),
            faults_omitted=self.found.omitted,
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

    def _compare_roots(self, size: int, root: bytes) -> None:
        """Compare the root of the first leaves with every checkpoint of this size."""
        for reference in self._references.pop(size, ()):
            if reference.checkpoint.root == root:
                self._anchored_size = size
            elif reference.source in self._mismatched:
                self.found.omitted += 1  # if one root differs, all later ones differ too
            else:
                self._mismatched.add(reference.source)
                self.add_overall_fault(
                    LogFaultCode.ROOT_MISMATCH,
                    f"the first {size} leaves are not those of the {reference.source} checkpoint",
                )


def read_checkpoint(
    found: FaultList, key: VerifierKey | None, source: str, text: str, *, filed_under: int | None = None
) -> Checkpoint | None:
    """Return a checkpoint; None, and a fault, if its form or signature is bad or it is not of the size it is stored under.

    Args:
        found: takes the fault.
        key: without it no signature is checked.
        source: where it came from, for messages.
        text: the signed note.
        filed_under: the size under which the store keeps it.
    """
    named = source if filed_under is None else f"{source} (under {filed_under} leaves)"
    try:
        if key is None:
            checkpoint = parse_checkpoint(parse_note(text).unverified_text)
        else:
            checkpoint = open_checkpoint(text, [key])
    except DoorwardError as error:
        found.add(LogFaultCode.CHECKPOINT_INVALID, f"the {named} checkpoint: {error.detail}")
        return None
    if filed_under is not None and filed_under != checkpoint.size:
        message = f"the {named} checkpoint is one of {checkpoint.size} leaves"
        found.add(LogFaultCode.CHECKPOINT_INVALID, message)
        return None
    return checkpoint


def check_openings(
    found: FaultList, first: int, leaves: Sequence[bytes], openings: Iterable[tuple[int, CommitmentOpening]]
) -> tuple[int, int]:
    """Compare the personal values of leaves with their commitments (step 6).

    Args:
        found: takes the faults.
        first: the number of the first leaf.
        leaves: one after the other; a missing leaf is empty, and its openings are not compared.
        openings: (number of one of these leaves, opening), in any order.

    Returns:
        How many values match, and how many commitments have no value.
    """
    opened = 0
    left = [count_commitments(leaf) for leaf in leaves]
    for number, opening in openings:
        leaf = leaves[number - first]
        if opens_leaf(leaf, opening.field, opening.value, opening.salt):
            opened += 1
            left[number - first] -= 1
        elif leaf:
            field = printable(opening.field, 64)  # an export may call it anything
            message = f"leaf {number}: the value of {field} does not match its commitment"
            found.add(LogFaultCode.PERSONAL_ALTERED, message, number=number, leaf=leaf, field=field)
    return opened, sum(one for one in left if one > 0)


def describe_leaf(leaf: bytes, event_id: str = "") -> tuple[str, str]:
    """Return (event type, event id) of a leaf, which may be altered; empty if they cannot be read."""
    event_type, own_id = _TYPE.search(leaf), _EVENT_ID.search(leaf)
    return (
        event_type[1].decode() if event_type else "",
        printable(event_id, 64) or (own_id[1].decode() if own_id else ""),
    )
