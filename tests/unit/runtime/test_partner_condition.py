"""What `status` says about the evidence of one partner."""

from __future__ import annotations

import pytest

from doorward.partners.evidence import EvidenceHealth
from doorward.runtime.condition import describe_partner


@pytest.mark.parametrize(("tolerated", "said"), [(False, "then refuses"), (True, "admits, because")])
def test_damaged_evidence_is_trouble_with_its_next_step(*, tolerated: bool, said: str) -> None:
    """It is not only a source that was not renewed: a gateway that starts now judges without it."""
    told = EvidenceHealth(
        partner="west",
        demanded=True,
        sources=2,
        missing=0,
        stale=0,
        failing=1,
        damaged=1,
        unusable=0,
        tolerated=tolerated,
        problems=("http://west.example/root.crl: damaged (evidence-damaged)",),
    )
    part = describe_partner(told)
    assert said in part.trouble[0]
    assert part.trouble[1:] == told.problems
    assert "`evidence-damaged`" in part.hints[0]
    assert part.facts["damaged"] == 1
