"""Verifying the stored log: every leaf is hashed again and compared with the stored hashes and the signed roots.

The log is checked in ranges (`range_check`): steps 1 to 4, 6 and 7 within each range, here what joins them. The ranges may
be checked elsewhere and at the same time; their results are joined in order, so the report is always the same.

Not here: proofs for single leaves (`merkle`), the file format of an export (`export`).

The checks, in this order:
    1. The checkpoints, every stored one and the caller's: signature, origin, form, and the size under which
       it is stored. With a key, there must be a signed checkpoint if there is a leaf.
    2. Every leaf against its stored hash: this finds an altered leaf.
    3. Every leaf against the event id of its row, if it has a row of its own. A number has one leaf: of two, one could be
       verified and the other one shown.
    4. Every stored node against the leaves below it: this finds a rewritten hash.
    5. The root at the size of each checkpoint, recomputed from the leaves.
    6. Every remaining personal value against its commitment; erased values are counted.
    7. The search index, where it is complete, against the leaves: what it hides, and what it names wrongly.
An attacker who controls the database can rewrite everything in it, but not a checkpoint that is kept elsewhere. So only
the caller's checkpoint, verified with the caller's key, proves anything against this attacker.

Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from doorward.audit.index import SPAN_LEAVES
from doorward.audit.index_check import describe_excess
from doorward.audit.judging import LogJudge
from doorward.audit.log import EventStore
from doorward.audit.note import parse_verifier_key
from doorward.audit.range_check import (
    RANGE_LEVEL,
    CheckedRange,
    RangePlan,
    WrongNodes,
    check_nodes,
    check_range,
)
from doorward.audit.report import LogFaultCode, VerificationReport
from doorward.core.errors import IntegrityError

RangeChecker = Callable[[RangePlan], Iterable[CheckedRange]]
"""Checks every range of a plan, and returns the results in the order of `RangePlan.starts`; it raises if it cannot."""


def verify_log(
    store: EventStore,
    *,
    checkpoint: str | None = None,
    verifier_key: str | None = None,
    personal: bool = True,
    progress: Callable[[int, int], None] | None = None,
    checker: RangeChecker | None = None,
) -> VerificationReport:
    """Verify the whole stored log; the numbered steps are in the module's docstring.

    Args:
        store: in one transaction with a consistent snapshot.
        checkpoint: a signed note that the caller has kept elsewhere; later changes to its leaves are found.
        verifier_key: the log's verifier key that the caller has kept; without it no signature is checked.
        personal: also compare personal values with their commitments.
        progress: called with (leaves done, all leaves) after each range.
        checker: checks the ranges; without it they are checked here, one after the other.

    Returns:
        The report; faults of the log are in it and are not raised.

    Raises:
        MalformedInput: `key-malformed`: the caller's key is not a verifier key.
        IntegrityError: `range-unchecked`: the checker did not check every range.

    Standard: RFC 9162 section 2.1; C2SP tlog-checkpoint.
    Not checked: events that are still in the outbox.
    """
    judge = LogJudge(None if verifier_key is None else parse_verifier_key(verifier_key))
    given = None if checkpoint is None else judge.add_checkpoint("given", checkpoint)  # 1
    if store.latest_checkpoint() is None:
        judge.note_missing_checkpoint("log")
    size = store.tree_size()
    _add_stored(judge, store, None, 0)
    plan = RangePlan(
        size=size,
        spans=store.indexed_spans(size // SPAN_LEAVES),
        key=verifier_key,
        personal=personal,
        stops=() if given is None else (given.size,),
        level=RANGE_LEVEL,
    )
    _join(judge, store, plan, checker or _check_here(store), progress)
    if excess := describe_excess(store, plan.spans):
        judge.add_overall_fault(LogFaultCode.INDEX_ALTERED, excess)
    _add_stored(judge, store, size, None)
    return judge.report()


def _check_here(store: EventStore) -> RangeChecker:
    return lambda plan: (check_range(store, plan, start) for start in plan.starts())


def _add_stored(judge: LogJudge, store: EventStore, above: int | None, to: int | None) -> None:
    """Step 1 for the checkpoints that are stored under a size that is in no range."""
    for filed_under, text in store.stored_checkpoints(above, to):
        judge.add_checkpoint("stored", text, filed_under=filed_under)


def _join(
    judge: LogJudge,
    store: EventStore,
    plan: RangePlan,
    checker: RangeChecker,
    progress: Callable[[int, int], None] | None,
) -> None:
    wrong: WrongNodes = defaultdict(set)
    for one in checker(plan):
        if (one.start, one.end) != (judge.size, min(judge.size + (1 << plan.level), plan.size)):
            raise _unchecked(judge.size)
        judge.found.take(one.faults, one.faults_omitted)
        for checkpoint in one.checkpoints:
            judge.accept_checkpoint("stored", checkpoint)
        if one.root_wrong:
            wrong[plan.level].add(one.start >> plan.level)
        for run in judge.append_range(one.end - one.start, one.peaks, one.heads):  # 5
            check_nodes(judge.found, store, run, wrong)  # 4, above the ranges
        for text in one.index_faults:
            judge.add_overall_fault(LogFaultCode.INDEX_ALTERED, text)
        judge.opened += one.opened
        judge.redacted += one.redacted
        if progress is not None:
            progress(one.end, plan.size)
    if judge.size != plan.size:
        raise _unchecked(judge.size)


def _unchecked(start: int) -> IntegrityError:
    return IntegrityError(
        "range-unchecked",
        f"the leaves from number {start} on were not checked",
        hint="this is a bug in Doorward: run `doorward audit verify --jobs 1`, and report the error",
    )
