"""BetterTLS (Netflix): path building with bad alternatives, and name constraints of every kind and place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doorward.verification.path.conformance import PathInputs
from tests.support.vectors import Verdict, is_named, judge_case, load_suite, run_cases


def judge(case: dict[str, Any]) -> Verdict:
    """Judge the chain as the door would, then whether the leaf bears each expected name."""
    verdict = judge_case(case, PathInputs())
    missing = [
        name for name in case["expected_peer_names"] if verdict.good and not is_named(verdict.path[0], name)
    ]
    return Verdict(good=False, why=(f"not named {missing}",)) if missing else verdict


def test_every_case_comes_out_as_expected(record_property: Callable[[str, object], None]) -> None:
    """All cases come out as BetterTLS says."""
    assert run_cases(record_property, "BetterTLS", load_suite("bettertls"), judge) == {}
