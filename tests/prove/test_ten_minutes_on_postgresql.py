"""The README's ten minutes, on a PostgreSQL database instead of SQLite."""

from __future__ import annotations

import pytest

from tests.support.postgresql import Server
from tests.support.walkthrough import ROOT, open_walk, play_on


@pytest.mark.needs("openssl", "curl")
def test_the_ten_minutes_on_postgresql(postgresql: Server) -> None:
    """Every command of the README's ten minutes prints the same if the setting names a PostgreSQL database."""
    with postgresql.durable(), open_walk(DOORWARD_DATABASE=postgresql.empty()) as walk:
        play_on(walk, ROOT / "README.md", first="export PATH")
