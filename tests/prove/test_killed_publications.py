"""The gateway or Envoy is killed again and again while a revision is published: no superseded rule is ever served."""

from __future__ import annotations

import random
import time

import pytest

from tests.support.doorway import is_root
from tests.support.equation import ANSWERS, hold_to_the_judge
from tests.support.house import House, open_house
from tests.support.killed_rounds import watched_rounds

pytestmark = pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")

ROUNDS = 20
SEED = 20261129
SETTLED_SECONDS = 10.5
"""A process that ran for so long is started again without a pause."""


@pytest.mark.parametrize(
    "victims",
    [("gateway",), ("envoy",), ("gateway", "gateway"), ("gateway", "envoy"), ("envoy", "gateway")],
    ids="-and-".join,
)
def test_killed_while_a_revision_is_published(victims: tuple[str, ...]) -> None:
    """What runs again finishes; connections that lost nothing go on if only the gateway died, through all rounds."""
    dice = random.Random(SEED)
    with open_house() as house:
        with watched_rounds(house) as rounds:
            for _ in range(ROUNDS):
                time.sleep(SETTLED_SECONDS)
                rounds.kill(victims, dice)
            ends = {name: one.ends for name, one in rounds.lasting.items()}
        rounds.report()
        if "envoy" not in victims:
            assert not any(ends.values()), ends
        _hold(house)


def _hold(house: House) -> None:
    counted = hold_to_the_judge(house, policies=8, seed=SEED)
    print(f"  the equation afterwards: {dict(counted)}")
    assert all(counted[one] for one in ANSWERS), counted
