"""The pages that are made from the program are what the program says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.reference.__main__ import render_pages

PAGES = render_pages()


@pytest.mark.parametrize("page", list(PAGES), ids=lambda page: page.name)
def test_a_generated_page_is_up_to_date(page: Path) -> None:
    """The page in the repository is, byte for byte, what `python -m tools.reference` writes."""
    assert page.read_text(encoding="utf-8") == PAGES[page]
