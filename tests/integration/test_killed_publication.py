"""The gateway and Envoy are killed while a revision is published: the next ones finish, and no superseded rule is served.

The long form, with twenty rounds each, is tests/prove/test_killed_publications.py.
"""

from __future__ import annotations

import random

import pytest

from tests.support.doorway import is_root
from tests.support.house import open_house
from tests.support.killed_rounds import watched_rounds

SEED = 20261129


@pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")
def test_killed_while_a_revision_is_published() -> None:
    """Connections that lost nothing go on if the gateway died; every answer is by a revision that may count."""
    dice = random.Random(SEED)
    with open_house() as house, watched_rounds(house) as rounds:
        for victim in ("gateway", "envoy", "envoy", "gateway", "envoy"):
            before = [len(one.ends) for one in rounds.lasting.values()]
            rounds.kill([victim], dice)
            if victim == "gateway":
                assert [len(one.ends) for one in rounds.lasting.values()] == before
        rounds.report()
