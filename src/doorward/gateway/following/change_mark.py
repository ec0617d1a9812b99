"""The mark of the last change that was followed: it shows a gateway that starts whether the database was put back.

The journal keeps the mark of the last change that the earlier run followed. If the database does not have that change,
it was put back to an older state, and connections admitted since then rest on changes that no longer exist.
Not here: changes made while no gateway followed (door), and a database that is put back under a running gateway
(follower).
"""

from __future__ import annotations

from doorward.stores.records import ChangeRecord
from doorward.stores.services import Services


def render_mark(change: ChangeRecord) -> str:
    """Return a line that identifies one change, also against a later change with the same number."""
    return f"{change.seq} {change.kind.value} {change.subject} {change.at.isoformat()}"


def database_has(services: Services, mark: str) -> bool:
    """Return whether the database has the change of a mark; False for a text that is no mark.

    Raises:
        Unavailable: the database cannot be read.
    """
    number = mark.partition(" ")[0]
    if not (number.isascii() and number.isdecimal() and len(number) <= len(str(1 << 63))):
        return False
    with services.work.read() as stores:
        return [render_mark(one) for one in stores.changes.since(int(number) - 1, 1)] == [mark]
