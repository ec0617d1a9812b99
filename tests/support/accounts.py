"""Requests as their senders remember them, against requests as the record tells: none doubled, none lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from doorward.audit.events import EventType
from tests.support.doorway import eventually
from tests.support.house import House
from tests.support.watching import Watcher


def answered(watchers: Iterable[Watcher]) -> set[str]:
    """Return the paths of everything that was answered with 200."""
    return {one.path for watcher in watchers for one in watcher.good if one.status == 200}


def recorded(house: House, prefix: str) -> Counter[str]:
    """Return how often each path with this prefix is in the record as answered with 200."""
    events = house.events(EventType.REQUEST_ANSWERED)
    paths = (one["personal"].get("path", "") for one in events if one["data"]["status"] == 200)
    return Counter(path for path in paths if path.startswith(prefix))


def compare(house: House, watchers: Iterable[Watcher], *, prefix: str) -> set[str]:
    """Return what was answered and is not on record, after waiting for it; nothing may be there twice.

    What is on record without an answer that anybody saw was answered into a connection that ended.
    """
    sent = answered(watchers)
    assert sent
    eventually(lambda: sent <= recorded(house, prefix).keys(), 5)
    found = recorded(house, prefix)
    assert [path for path, count in found.items() if count != 1] == []
    return sent - found.keys()
