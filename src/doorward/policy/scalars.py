"""Text as YAML scalars and lists that read back as this text.

Not here: whole documents (`rendering`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

# Plain where no YAML reader could take it for anything but this text; quoted otherwise.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(?: [A-Za-z0-9][A-Za-z0-9._-]*)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def render_scalar(text: str) -> str:
    """Return text as a YAML scalar that reads back as this text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def render_list(texts: Iterable[str]) -> str:
    """Return texts as a YAML list on one line, in this order."""
    return "[" + ", ".join(render_scalar(text) for text in texts) + "]"
