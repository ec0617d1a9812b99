"""Catalogues of translations: `.po` files as gettext writes them, read when the module is imported.

To add a language, add a file `locale/<language>/LC_MESSAGES/doorward.po`; its header has the name of the language in that
language (`X-Language-Name`). English is the language of the sources and needs no file.
Standard: the PO and MO formats of GNU gettext, sections 10 and 11 of its manual.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from doorward.core.errors import MalformedInput

SOURCE = "en"
"""The language in which templates and tables are written."""

MAX_CATALOGUE_CHARACTERS = 2_000_000

_MAGIC = 0x950412DE
_KEYWORD = re.compile(r"(msgid|msgid_plural|msgstr|msgstr\[([0-5])\])[ \t]+(.*)", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def parse_catalogue(text: str) -> dict[str, str]:
    r"""Return the messages of a `.po` file: msgid to msgstr, plural forms joined by NUL as a `.mo` file has them.

    Untranslated and obsolete entries (`#~`) are left out. The header has the key "".

    Args:
        text: the whole file; at most 2,000,000 characters.

    Raises:
        MalformedInput: `catalogue-malformed`, with the line.
    """
    if len(text) > MAX_CATALOGUE_CHARACTERS:
        raise _malformed(0, "it is too large")
    messages: dict[str, str] = {}
    parts: dict[str, str] = {}
    current = ""
    for number, raw in enumerate([*text.split("\n"), ""], 1):
        line = raw.strip()
        if line.startswith("#"):
            continue
        if not line:
            _keep(parts, messages, number)
            parts, current = {}, ""
            continue
        keyword = _KEYWORD.fullmatch(line)
        if keyword:
            current = keyword[1]
            if current in parts:  # the next entry may follow without an empty line
                _keep(parts, messages, number)
                parts = {}
            parts[current], line = "", keyword[3]
        quoted = _STRING.fullmatch(line)
        if not quoted or not current:
            raise _malformed(number, "this is neither a keyword nor a string in quotation marks")
        parts[current] += _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), quoted[1])
    return messages


def _keep(parts: Mapping[str, str], messages: dict[str, str], number: int) -> None:
    if not parts:
        return
    if "msgid" not in parts or any("\0" in one for one in parts.values()):
        raise _malformed(number, "an entry has one msgid, and no NUL")
    key = parts["msgid"]
    forms = [parts["msgstr"]] if "msgstr" in parts else []
    if "msgid_plural" in parts:
        key = f"{key}\0{parts['msgid_plural']}"
        forms = [parts[name] for name in sorted(parts) if name.startswith("msgstr[")]
    if forms and all(forms):
        messages[key] = "\0".join(forms)


def _malformed(line: int, why: str) -> MalformedInput:
    return MalformedInput("catalogue-malformed", f"line {line} of a catalogue cannot be read: {why}")


def build_translations(messages: Mapping[str, str]) -> NullTranslations:
    """Return gettext translations for messages; the header has the rule for plural forms.

    Args:
        messages: as `parse_catalogue` returns them.
    """
    keys = sorted(messages, key=str.encode)
    texts = [key.encode() for key in keys], [messages[key].encode() for key in keys]
    start = 28
    at = start + 16 * len(keys)
    tables, body = b"", b""
    for column in texts:
        for one in column:
            tables += struct.pack("<II", len(one), at + len(body))
            body += one + b"\0"
    head = struct.pack("<7I", _MAGIC, 0, len(keys), start, start + 8 * len(keys), 0, 0)
    return GNUTranslations(BytesIO(head + tables + body))


def _load() -> dict[str, NullTranslations]:
    folder = Path(__file__).parent.parent / "locale"
    found: dict[str, NullTranslations] = {SOURCE: NullTranslations()}
    for file in sorted(folder.glob("*/LC_MESSAGES/doorward.po")):
        found[file.parent.parent.name] = build_translations(parse_catalogue(file.read_text("utf-8")))
    return found


CATALOGUES: Mapping[str, NullTranslations] = MappingProxyType(_load())
"""Language to its translations. Read at import: the process imports all modules as root, before it changes to a user who may
not read these files."""

LANGUAGE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        language: "English" if language == SOURCE else one.info().get("x-language-name", language)
        for language, one in CATALOGUES.items()
    }
)
"""Language to its name in that language."""
