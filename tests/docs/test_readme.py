"""The README's commands do what it says."""

from __future__ import annotations

import pytest

from doorward.demo.story import SCENES
from tests.support.walkthrough import ROOT, play_page, read_blocks

README = ROOT / "README.md"


@pytest.mark.long
@pytest.mark.needs("curl")
@pytest.mark.xdist_group("walkthrough")
def test_the_first_ten_minutes_are_as_told() -> None:
    """Every command of the first ten minutes runs in order and prints what the README shows."""
    play_page(README, first="export PATH")


def test_the_readme_names_the_two_commands() -> None:
    """The two commands of the README are verbs of the Makefile."""
    text = README.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in ("demo", "test"):
        assert f"make {verb} " in text
        assert f"\n{verb}:" in makefile


def test_the_story_in_the_readme_is_the_story_of_the_demo() -> None:
    """Every scene of the demo stands in the README with its number, title and reason."""
    told = next(block.text for block in read_blocks(README) if "A little bank" in block.text)
    for number, (title, why, _) in enumerate(SCENES, start=1):
        assert f"{number}  {title}\n    {why}\n" in told
