"""The lines of the log about processes that were refused are documented."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "run-as-a-service.md").read_text(encoding="utf-8")


def test_each_refused_peer_is_explained() -> None:
    """Each event of `RefusedPeers` is in the table, with its fields."""
    sources = (
        one.read_text(encoding="utf-8") for one in (ROOT / "src" / "doorward" / "gateway").rglob("*.py")
    )
    events = {name for text in sources for name in re.findall(r'event="([a-z-]+-refused)"', text)}
    assert len(events) == 2
    assert [one for one in events if f"| `{one}` |" not in PAGE] == []
    assert all(f"`{name}`" in PAGE for name in ("pid", "uid", "not_logged_before"))
