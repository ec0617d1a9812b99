"""A report has no truth value."""

from __future__ import annotations

import pytest

from doorward.audit.report import LogFault, LogFaultCode, VerificationReport
from doorward.core.errors import IntegrityError


def report(*faults: LogFault, omitted: int = 0) -> VerificationReport:
    """A report with these faults."""
    return VerificationReport(
        origin="corp.example/audit",
        size=5,
        root=bytes(32),
        anchored_size=5,
        signature_verified=True,
        opened=0,
        redacted=0,
        faults=faults,
        faults_omitted=omitted,
    )


ALTERED = LogFault(code=LogFaultCode.LEAF_ALTERED, message="leaf 3 was altered", number=3)


def test_a_report_has_no_truth_value() -> None:
    """`if report:` raises, because "no fault" is not a proof."""
    with pytest.raises(TypeError, match="truth value"):
        bool(report())


def test_a_report_without_faults_passes() -> None:
    """`require` returns if there is no fault."""
    report().require()


@pytest.mark.parametrize(
    ("omitted", "text", "count"),
    [(0, "leaf-altered: leaf 3 was altered", 1), (4, "leaf-altered: leaf 3 was altered (and 4 more)", 5)],
)
def test_a_report_with_faults_raises(omitted: int, text: str, count: int) -> None:
    """`require` raises with the first fault and the number of all faults."""
    with pytest.raises(IntegrityError) as caught:
        report(ALTERED, omitted=omitted).require()
    assert (caught.value.code, caught.value.detail) == ("log-altered", text)
    assert caught.value.context == {"faults": count}
