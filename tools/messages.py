"""The messages of pages: which there are, and which language lacks which.

python -m tools.messages          say what is missing in each catalogue
python -m tools.messages --write  add what is missing with an empty translation, take out what is not used any more

A message is a text within `_()` or `{% trans %}` of a template, or within `mark()`, `translate()` or `ngettext()` of
a Python file below `src/doorward/web`.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doorward.web.look.catalogues import parse_catalogue
from doorward.web.look.rendering import TEMPLATES, build_environment

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "src" / "doorward" / "web"
MARKS = frozenset({"mark", "translate", "ngettext"})

Message = tuple[str, str]
"""The text, and its plural form; empty if it has none."""


def find_messages() -> dict[Message, str]:
    """Return every message, in the order of the files, with the first place where it stands."""
    found: dict[Message, str] = {}
    extract: Any = build_environment()
    for name in sorted(TEMPLATES):
        for _, _, text in extract.extract_translations(TEMPLATES[name]):
            # A tuple also has a None for each value that is put in.
            texts = [part for part in text if part] if isinstance(text, tuple) else [text]
            found.setdefault((texts[0], texts[1] if len(texts) > 1 else ""), f"templates/{name}")
    for file in sorted(WEB.rglob("*.py")):
        for message in _marked(ast.parse(file.read_text("utf-8"))):
            found.setdefault(message, f"{file.relative_to(WEB)}")
    return found


def _marked(tree: ast.Module) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        texts = [one.value if isinstance(one, ast.Constant) else None for one in node.args[:2]]
        if name in MARKS and texts and isinstance(texts[0], str):
            many = texts[1] if name == "ngettext" and isinstance(texts[1], str) else ""
            yield texts[0], many


def catalogue_files() -> dict[str, Path]:
    """Return language to its file."""
    return {file.parent.parent.name: file for file in sorted(WEB.glob("locale/*/LC_MESSAGES/doorward.po"))}


def missing(file: Path) -> list[str]:
    """Return the messages that a catalogue does not translate."""
    known = parse_catalogue(file.read_text("utf-8"))
    return [one for (one, many) in find_messages() if (f"{one}\0{many}" if many else one) not in known]


def unused(file: Path) -> list[str]:
    """Return what a catalogue translates though no page says it."""
    said = {f"{one}\0{many}" if many else one for one, many in find_messages()}
    return [one for one in parse_catalogue(file.read_text("utf-8")) if one and one not in said]


def rewrite(file: Path) -> None:
    """Bring a catalogue into the order of the pages; what is missing is left empty."""
    known = parse_catalogue(file.read_text("utf-8"))
    header = "".join(f"{_quoted(one)}\n" for one in known[""].splitlines(keepends=True))
    blocks = [f'msgid ""\nmsgstr ""\n{header}']
    for (one, many), place in find_messages().items():
        forms = known.get(f"{one}\0{many}" if many else one, "").split("\0")
        head = f"#: {place}\n" + f"msgid {_quoted(one)}\n"
        if many:
            head += f"msgid_plural {_quoted(many)}\n"
            head += "".join(f"msgstr[{at}] {_quoted(form)}\n" for at, form in enumerate([*forms, ""][:2]))
        else:
            head += f"msgstr {_quoted(forms[0])}\n"
        blocks.append(head)
    file.write_text("\n".join(blocks), "utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main() -> int:
    """Say or write what is missing."""
    worst = 0
    for language, file in catalogue_files().items():
        if "--write" in sys.argv[1:]:
            rewrite(file)
        lacking = missing(file)
        worst = max(worst, len(lacking))
        print(f"{language}: {len(lacking)} of {len(find_messages())} messages are not translated")
        for one in lacking:
            print(f"  {one}")
        for one in unused(file):
            print(f"  not used any more: {one}")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
