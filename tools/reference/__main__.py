"""Writes the pages, or checks them."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.reference.commands import render_commands
from tools.reference.events import render_events
from tools.reference.pages import render_states
from tools.reference.settings import render_settings

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"


def render_pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    return {
        FOLDER / "commands.md": render_commands(),
        FOLDER / "settings.md": render_settings(),
        FOLDER / "events.md": render_events(),
        FOLDER / "pages.md": render_states(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check` compare them and say which differ."""
    stale = [
        path
        for path, text in render_pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if arguments == ["--check"]:
        for path in stale:
            sys.stderr.write(f"{path.name} is not what the program says: python -m tools.reference\n")
        return 1 if stale else 0
    for path, text in render_pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
