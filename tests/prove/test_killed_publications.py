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


def test_the_gateway_is_killed_while_it_publishes() -> None:
    """The next gateway adopts Envoy and finishes; a connection that lost nothing goes on through all rounds."""
    dice = random.Random(SEED)
    with open_house() as house:
        with watched_rounds(house) as rounds:
            for _ in range(ROUNDS):
                time.sleep(SETTLED_SECONDS)
                rounds.kill_one("gateway", dice)
                print(f"  {rounds.done[-1]}")
            ends = {name: one.ends for name, one in rounds.lasting.items()}
        rounds.report("gateway")
        print(f"  ends of connections that lost nothing: {ends}")
        assert not any(ends.values())
        _hold(house)


def test_envoy_is_killed_while_it_gets_a_revision() -> None:
    """The next Envoy gets the newest revision, and nothing else is ever served."""
    dice = random.Random(SEED)
    with open_house() as house:
        with watched_rounds(house) as rounds:
            for _ in range(ROUNDS):
                time.sleep(SETTLED_SECONDS)
                rounds.kill_one("envoy", dice)
                print(f"  {rounds.done[-1]}")
        rounds.report("envoy")
        _hold(house)


def _hold(house: House) -> None:
    counted = hold_to_the_judge(house, policies=8, seed=SEED)
    print(f"  the equation afterwards: {dict(counted)}")
    assert all(counted[one] for one in ANSWERS), counted
