"""The tutorial's commands do what it says."""

from __future__ import annotations

import shutil

import pytest

from tests.support.walkthrough import ROOT, play_page


@pytest.mark.xdist_group("walkthrough")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the tutorial makes a request with openssl")
def test_the_tutorial_is_as_told() -> None:
    """Every command of the tutorial runs in order and prints what the page shows."""
    play_page(ROOT / "docs" / "tutorial.md", first="export PATH")
