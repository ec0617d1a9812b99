"""Words that this project does not write, and documents that it does not cite; part of `make lint`.

Readers know English as a second or third language. These words make sentences that must be read twice: write "if a
client", "with a key that", "again", "no client". A document outside the repository cannot be opened by a reader of the
code: cite a decision record or an RFC.
"""

from __future__ import annotations

import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READ = ("*.py", "*.md", "*.html", "*.js", "*.css", "*.sh", "*.po", "*.toml", "*.yaml", "Makefile")
WORDS = re.compile(r"(?<![`\"'/])\b(?:[Ww]hoever|[Ww]hose|[Aa]new|[Nn]obody|[Tt]hat which)\b(?![`\"'-])")
"""In quotes, or as a part of a name, such a word is a value: `nobody` is an account of the system."""
CITATIONS = re.compile(
    r"\b(?:DESIGN|HOUSE)(?: section)? \d"
    r"|\b(?:DESIGN|HOUSE|ENVOY|PARTS|ANCHORS|CONFORMANCE|EVIDENCE|FEATURES|STYLES|PAGES|ADS|DEPENDENCIES)\.md\b"
)
PROSE = frozenset({"COMMENT", "STRING", "FSTRING_MIDDLE"})
"""The tokens of Python that people read as text; names of variables are not looked at."""


def find_words(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line that has such a word or citation, and what it has."""
    for first, text in _texts(path):
        for number, line in enumerate(text.splitlines(), first):
            for pattern in (WORDS, CITATIONS):
                for found in pattern.finditer(line):
                    yield number, found.group()


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file, each with the number of its first line."""
    if path.suffix != ".py":
        yield 1, path.read_text(encoding="utf-8")
        return
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if tokenize.tok_name[token.type] in PROSE:
                inner = token.string.strip("\"'") if token.type == tokenize.STRING else token.string
                yield token.start[0], "" if inner == "nobody" else token.string


def check_words() -> bool:
    """Print each line of a file under version control that has such a word; return whether there is none."""
    files = subprocess.run(
        ["git", "ls-files", *READ], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    good = True
    for name in files:
        path = ROOT / name
        if name == "tools/words.py" or not path.exists():
            continue
        for number, word in find_words(path):
            print(f"{name}:{number}: write it in other words: {word}")
            good = False
    return good
