"""Renders text as YAML scalars and lists; a YAML reader gets the same text back.

Not here: whole documents (`rendering`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

# Written plain if every YAML reader reads it as this text; quoted otherwise.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(?: [A-Za-z0-9][A-Za-z0-9._-]*)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def render_scalar(text: str) -> str:
    """Return text as a YAML scalar."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def render_list(texts: Iterable[str]) -> str:
    """Return texts as a YAML list on one line, in this order."""
    return "[" + ", ".join(render_scalar(text) for text in texts) + "]"
