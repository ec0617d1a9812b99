"""Whether a gateway that starts knows what happened to the connections that an earlier run of it left behind.

The journal keeps the last change that the earlier run followed. If the database does not hold that change, it was
put back to an older state, and what was admitted since then rests on changes that are gone.
Not here: what was changed while no gateway followed (door), and a database that is put back under a running
gateway (follower).
"""

from __future__ import annotations

from doorward.stores.records import ChangeRecord
from doorward.stores.services import Services


def render_mark(change: ChangeRecord) -> str:
    """Return a line by which a change is told from any other, also from a later one of the same number."""
    return f"{change.seq} {change.kind.value} {change.subject} {change.at.isoformat()}"


def database_has(services: Services, mark: str) -> bool:
    """Return whether the database holds the change of a mark; False for a text that is none.

    Raises:
        Unavailable: the database cannot be read.
    """
    number = mark.partition(" ")[0]
    if not (number.isascii() and number.isdecimal() and len(number) <= len(str(1 << 63))):
        return False
    with services.work.read() as stores:
        return [render_mark(one) for one in stores.changes.since(int(number) - 1, 1)] == [mark]
