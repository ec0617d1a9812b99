"""Which of several pairs of a purpose the door shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from doorward.gateway.publishing.server_pairs import ServerPair
from tests.support.ports import NOON

HOSTS = ("app.corp.example",)
FIRST = ServerPair(
    folder=Path("ord_1"), hosts=HOSTS, begin=NOON, end=NOON + timedelta(days=30), source="acme"
)


def test_of_two_with_one_end_the_later_order_is_shown() -> None:
    """An authority in the chain may end before both leaves; otherwise the renewed certificate would never be used."""
    renewed = replace(FIRST, folder=Path("ord_2"), begin=NOON + timedelta(days=20))
    for pairs in ([FIRST, renewed], [renewed, FIRST]):
        assert max(pairs, key=lambda one: one.worth(HOSTS, "acme", ())) is renewed
    longer = replace(FIRST, end=FIRST.end + timedelta(days=1))
    assert max([longer, renewed], key=lambda one: one.worth(HOSTS, "acme", ())) is longer
