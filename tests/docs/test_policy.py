"""docs/reference/policy.md tells what the code does: patterns, refused paths, the example, the findings."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from doorward.policy.app_limits import APP_LIMIT_KEYS, LONGEST_IDLE, MOST_HEADER_KILOBYTES, MOST_HEADERS
from doorward.policy.document import parse_document
from doorward.policy.normalisation import NormalisedPath, PathRefused, normalise
from doorward.policy.open_access import OPEN_ACCESS_KEYS
from doorward.policy.paths import PathPattern
from doorward.policy.reading import APP_KEYS as OTHER_KEYS
from tests.support.walkthrough import ROOT, read_blocks

FILE = ROOT / "docs" / "reference" / "policy.md"
PAGE = FILE.read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[list[str]]]:
    """Return the code words in each cell of the first table below a heading."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n| --- ")[2].partition("\n\n")[0]
    lines = table.splitlines()[1:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]] for line in lines]


APP_KEYS = (*OTHER_KEYS, *OPEN_ACCESS_KEYS, *APP_LIMIT_KEYS)
PATTERNS = _rows("`to`: what")
REFUSED = [path for row in _rows("Normalisation, and what is refused") for path in row[1]]


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: row[0][0])
def test_each_pattern_covers_what_the_page_says(row: list[list[str]]) -> None:
    """A pattern of the page matches the paths in its second cell and none in its third."""
    pattern = PathPattern(row[0][0])
    for paths, wanted in ((row[1], True), (row[2], False)):
        for raw in paths:
            path = normalise(raw)
            assert isinstance(path, NormalisedPath)
            assert pattern.matches(path) is wanted


@pytest.mark.parametrize("path", REFUSED)
def test_each_refused_path_is_refused(path: str) -> None:
    """A path that the page calls refused is refused by the normaliser."""
    assert isinstance(normalise(path), PathRefused)


def test_the_tables_were_found() -> None:
    """The tables that the other tests read are on the page."""
    assert len(PATTERNS) == 6
    assert len(REFUSED) >= 6


def test_a_needless_escape_is_matched_as_what_it_stands_for() -> None:
    """`/%61dmin` is `/admin`."""
    path = normalise("/%61dmin")
    assert isinstance(path, NormalisedPath)
    assert path.text == "/admin"


@pytest.mark.parametrize("key", APP_KEYS)
def test_each_key_of_an_application_is_on_the_page(key: str) -> None:
    """What an application may say is told: `key:` in the example or in the text."""
    assert re.search(rf"(^    |`){key}:\s", PAGE, re.MULTILINE)


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    """The table of times and sizes names the bounds that the reader checks."""
    assert f"`limits: {{headers: …}}`, 1 to {MOST_HEADERS} |" in PAGE
    assert f"`limits: {{header_kilobytes: …}}`, 1 to {MOST_HEADER_KILOBYTES} |" in PAGE
    assert f"1s to {LONGEST_IDLE // timedelta(hours=1)}h |" in PAGE


def test_the_example_is_a_document() -> None:
    """The example at the top of the page parses."""
    example = next(block.text for block in read_blocks(FILE) if block.kind == "yaml")
    assert parse_document(example).app("accounts") is not None


def test_every_finding_is_listed() -> None:
    """Each code of a finding stands on the page."""
    source = (ROOT / "src/doorward/policy/analysis.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'(?:yield |code=)"([a-z]+-[a-z]+)"', source)) | {"rule-overruled"}
    listed = set(re.findall(r"`([a-z-]+)`", PAGE.partition("\n## Findings\n")[2]))
    assert codes <= listed
