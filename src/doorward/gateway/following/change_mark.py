"""The mark of the last change that was followed: it shows a gateway that starts whether the database was put back.

The journal keeps the mark of the last change that the earlier run followed. If the database does not have that change,
it was put back to an older state, and connections admitted since then rest on changes that no longer exist.
Not here: changes made while no gateway followed (adopted), and a database that is put back under a running gateway
(follower).
"""

from __future__ import annotations

from doorward.stores.records import ChangeRecord
from doorward.stores.services import Services


def render_mark(change: ChangeRecord) -> str:
    """Return a line that identifies one change, also against a later change with the same number."""
    return f"{change.seq} {change.kind.value} {change.subject} {change.at.isoformat()}"


def find_marked(services: Services, mark: str) -> ChangeRecord | None:
    """Return the change of a mark; None if the database does not have it, and for a text that is no mark.

    Raises:
        Unavailable: the database cannot be read.
    """
    number = mark.partition(" ")[0]
    if not (number.isascii() and number.isdecimal() and len(number) <= len(str(1 << 63))):
        return None
    with services.work.read() as stores:
        found = stores.changes.since(int(number) - 1, 1)
    return found[0] if found and render_mark(found[0]) == mark else None
