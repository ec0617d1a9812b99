"""The result of a use case that changes something: the value, and the change number that gateways must confirm.

Not here: waiting for the gateways (`authority.gateways`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult(Generic[T]):
    """The result of a durable change.

    Args:
        value: what the use case returns.
        seq: the number of the change. If nothing had to change, the newest number at that moment: the caller can wait
            for it in both cases.
        notes: sentences for the person who asked for the change.
        changed: False if everything was as asked before.
    """

    value: T
    seq: int
    notes: tuple[str, ...] = ()
    changed: bool = True
