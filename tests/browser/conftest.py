"""Walks of real browsers through a real door: what they need, and that no script of a page failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.doorway import is_root

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip as an ordinary user: only root may write Chromium's managed policy."""
    if not is_root():
        for item in items:
            if item.path.parent == HERE:
                item.add_marker(pytest.mark.skip(reason="only root may write Chromium's managed policy"))
