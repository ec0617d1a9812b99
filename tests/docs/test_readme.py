"""The README is true; its commands are played in `test_tutorial`."""

from __future__ import annotations

from doorward.demo.story import SCENES
from tests.support.walkthrough import ROOT, read_blocks

README = ROOT / "README.md"


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
