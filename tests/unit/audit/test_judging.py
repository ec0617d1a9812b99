"""The judge of a log, with leaves that are malformed."""

from __future__ import annotations

import pytest

from doorward.audit.judging import LogJudge, describe_leaf
from doorward.audit.report import LogFaultCode
from tests.support.events import request_answered, seal

SEALED = seal(request_answered(1))


@pytest.mark.parametrize(
    ("leaf", "event_id", "described"),
    [
        (SEALED.leaf, "", ("request:answered", SEALED.id)),
        (SEALED.leaf, "evt_row", ("request:answered", "evt_row")),
        (b"", "", ("", "")),
        (b"\xff", "evt_row", ("", "evt_row")),
        (b"", "evt_\nforged", ("", "evt_\\x0aforged")),
    ],
)
def test_a_leaf_is_described_as_far_as_it_goes(
    leaf: bytes, event_id: str, described: tuple[str, str]
) -> None:
    """The row's id is preferred to the leaf's, and neither can break a line of the report."""
    assert describe_leaf(leaf, event_id) == described


def test_opening_a_commitment_twice_is_not_a_negative_count() -> None:
    """More openings than commitments never give a negative number of redacted fields."""
    judge = LogJudge(None)
    judge.check_personal(0, [SEALED.leaf], [(0, SEALED.openings[0])] * 5)
    assert (judge.opened, judge.redacted) == (5, 0)


def test_roots_are_compared_between_two_batches() -> None:
    """A checkpoint with a size inside of a batch is compared at this size."""
    judge = LogJudge(None)
    judge.add_checkpoint("given", f"log\n2\n{'A' * 43}=\n\n— log {'A' * 8}\n")
    judge.extend([bytes(32)])
    judge.extend([bytes(32)] * 5)
    report = judge.report()
    assert [fault.code for fault in report.faults] == [LogFaultCode.ROOT_MISMATCH]
    assert (report.origin, report.size) == ("log", 6)
