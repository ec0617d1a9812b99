"""The door answers as the judge decides, over 10,000 generated triples of policy, connection and request.

Each run has other dice; what it says names them.
"""

from __future__ import annotations

import random

from tests.support.doorway import open_doorway
from tests.support.equation import ANSWERS, REQUESTS_PER_EDIT, hold_to_the_judge

TRIPLES = 10_000


def test_ten_thousand_triples() -> None:
    """Status and path at the application are what the judge says, each time."""
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")
    with open_doorway() as door:
        counted = hold_to_the_judge(door, policies=TRIPLES // (2 * REQUESTS_PER_EDIT), seed=seed)
    print(dict(counted))
    assert sum(counted[one] for one in ANSWERS) == TRIPLES
    assert min(counted[one] for one in ANSWERS) > 0
    assert counted["by an older connection"] > TRIPLES // 8
