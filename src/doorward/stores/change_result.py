"""What a use case hands back after a change: the value, and the number that followers must reach.

Not here: waiting for the followers (the command line does that, by `gateways.confirmations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult(Generic[T]):
    """A durable change; `notes` are sentences for the person who asked for it.

    `seq` is the number of the change sequence at which it took effect; where nothing had to change
    it is the newest number of that moment, so that waiting for it is right in both cases.
    """

    value: T
    seq: int
    notes: tuple[str, ...] = ()
