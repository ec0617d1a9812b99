"""Joining the results of ranges: each must be there once, in order, and its faults are faults of the log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.audit import verifying
from doorward.audit.log import sign_checkpoint
from doorward.audit.range_check import CheckedRange, RangePlan, check_range
from doorward.audit.report import LogFaultCode
from doorward.audit.verifying import verify_log
from doorward.core.errors import IntegrityError
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, fill
from tests.support.events import MemoryEventStore
from tests.support.ports import NOON
from tests.support.refusals import refused


@pytest.fixture
def store() -> MemoryEventStore:
    """A log of 11 leaves with a checkpoint."""
    store = MemoryEventStore()
    fill(store, 11)
    sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    return store


@pytest.mark.parametrize("kept", ["none", "first", "all but the last", "twice"])
def test_a_checker_that_leaves_a_range_out_is_refused(
    store: MemoryEventStore, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """A missing result is never taken for a good one."""
    monkeypatch.setattr(verifying, "RANGE_LEVEL", 2)

    def checker(plan: RangePlan) -> list[CheckedRange]:
        ranges = [check_range(store, plan, start) for start in plan.starts()]
        return {
            "none": [],
            "first": ranges[:1],
            "all but the last": ranges[:-1],
            "twice": [*ranges, ranges[-1]],
        }[kept]

    with refused(IntegrityError, "range-unchecked"):
        verify_log(store, verifier_key=VERIFIER, checker=checker)


def test_faults_of_the_index_are_faults_of_the_log(store: MemoryEventStore) -> None:
    """Those of a range, and rows that belong to no part of the log."""
    store.index[3, 7] = b""
    report = verify_log(
        store,
        verifier_key=VERIFIER,
        checker=lambda plan: [
            replace(check_range(store, plan, start), index_faults=["it lacks an entry"])
            for start in plan.starts()
        ],
    )
    assert {fault.code for fault in report.faults} == {LogFaultCode.INDEX_ALTERED}
    assert "it lacks an entry" in report.faults[0].message
    assert "in excess" in report.faults[-1].message
