"""A cutter that ends nothing but the test's own patience: it notes whom it was told to end.

cutter = FakeCutter()
cutter.resisting = {7}          # cookie 7 does not end
cutter.cut                      # cookies in the order they were ended, batch by batch
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from doorward.gateway.connections.cutter import CutResult, Mechanism, Target
from doorward.gateway.connections.sockdiag import CutOutcome


class FakeCutter:
    """The fake of `gateway.connections.cutter.Cutter` as `ConnectionEnder` uses it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.resisting: set[int] = set()
        self.before: Callable[[], None] = lambda: None

    @property
    def cut(self) -> list[int]:
        """Every cookie that was to be ended, in order."""
        return [cookie for batch in self.batches for cookie in batch]

    def cut_many(self, connections: Sequence[Target]) -> list[CutResult]:
        self.before()
        self.batches.append([one.cookie for one in connections])
        return [
            CutResult(
                cookie=one.cookie,
                mechanism=Mechanism.PIDFD,
                outcome=CutOutcome.MISSED if one.cookie in self.resisting else CutOutcome.CUT,
                seconds=0.001,
            )
            for one in connections
        ]
