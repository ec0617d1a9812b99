"""What the documents point to is there: links, anchors, and paths of files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.walkthrough import ROOT

ROOTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "constraints.txt",
    ".importlinter",
)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/*.md")])

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:src/doorward|tests|tools|docs|bench|examples|\.ci)/[A-Za-z0-9_./{},*-]+")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page as code hosts make them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def _expand(pattern: str) -> list[str]:
    """Return the names that a pair of braces stands for."""
    found = re.search(r"\{([^{}]+)\}", pattern)
    if not found:
        return [pattern]
    return [
        one
        for part in found[1].split(",")
        for one in _expand(pattern[: found.start()] + part + pattern[found.end() :])
    ]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file that exists, and its anchor a heading of that file."""
    broken = []
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    """A path of this repository that stands in a page, in code or in a link's text, is there."""
    named = [
        one
        for code in _CODE.findall(page.read_text(encoding="utf-8"))
        for path in _PATH.findall(code)
        for one in _expand(path.rstrip(".,"))
    ]
    missing = [one for one in named if not any(ROOT.glob(one))]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    """No page names a home directory or a work folder of its author."""
    assert not re.search(r"/(?:root|work|home)/[a-z]", page.read_text(encoding="utf-8"))


def test_every_page_is_in_the_index() -> None:
    """Each page below docs is reached from docs/index.md, by a link of its own or by its folder's list."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    records = (ROOT / "docs" / "design" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / one.partition("#")[0]).resolve() for one in _LINK.findall(index)}
    linked |= {(ROOT / "docs" / "design" / one.partition("#")[0]).resolve() for one in _LINK.findall(records)}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page.name != "index.md"}
    assert sorted(_name(page) for page in pages - linked) == []


def test_each_record_is_listed_once() -> None:
    """The list of decisions has one line for each record."""
    folder = ROOT / "docs" / "design"
    listed = _LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
    records = [one.name for one in folder.glob("[0-9]*.md")]
    assert sorted(one for one in listed if one[0].isdigit()) == sorted(records)


def test_the_files_of_the_root_are_there() -> None:
    """The repository has the files that a reader looks for first."""
    assert [name for name in ROOTS if not (ROOT / name).is_file()] == []
