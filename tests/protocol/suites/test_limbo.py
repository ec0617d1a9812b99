"""x509-limbo (C2SP), class by class: all as expected, or decided and listed in docs/standards.md.

Cases with an id that begins with `recast::` were written for servers and turned into client cases; upstream does
not vouch for them. RFC 5280 decides. What only the CA/Browser Forum asks of public web servers is not
adopted: an authority for clients is not bound by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from doorward.verification.path.conformance import PathInputs
from tests.protocol.suites.decisions import LIMBO
from tests.support.vectors import Verdict, is_named, judge_case, load_classes, load_suite, run_cases

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""Of serial numbers that are not positive and other sins that are part of the cases."""

Record = Callable[[str, object], None]

DEFAULT_DEPTH = 8


def judge(case: dict[str, Any]) -> Verdict:
    """Judge chain, CRLs and expected names; the leaf need not state its purpose, as in RFC 5280."""
    depth = case["max_chain_depth"]
    inputs = PathInputs(max_intermediates=DEFAULT_DEPTH if depth is None else depth)
    verdict = judge_case(case, inputs, must_state=False)
    wanted = case["expected_peer_names"]
    missing = [name["value"] for name in wanted if verdict.good and not is_named(verdict.path[0], name)]
    return Verdict(good=False, why=(f"not named {missing}",)) if missing else verdict


@pytest.mark.parametrize("group", ["chain", "crl", "name", "chain-depth", "dos", "pedantic", "webpki-only"])
def test_each_class_is_as_expected_or_decided(group: str, record_property: Record) -> None:
    """Every case of the class comes out as expected, save those that are decided otherwise."""
    cases = load_suite("limbo")
    classes = load_classes()
    chosen = [case for case in cases if classes.get(case["id"]) == group]
    otherwise = run_cases(record_property, f"x509-limbo, {group}", chosen, judge)
    decided = {case["id"]: LIMBO[case["id"]][0] for case in chosen if case["id"] in LIMBO}
    assert otherwise == decided
    assert len(decided) <= {"pedantic": 3, "webpki-only": 14, "name": 2}.get(group, 0), "not to be decided"
