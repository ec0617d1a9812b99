"""One JSON object from outside; what JSON parsers read differently is refused.

Standard: RFC 8259; RFC 7493 section 2.3 (no duplicate names).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from doorward.core.errors import MalformedInput


def parse_json_object(text: bytes | str, *, code: str, what: str) -> dict[str, Any]:
    """Return the members of one JSON object.

    `NaN`, `Infinity` and duplicate names are refused: of two members with one name, `json` would silently keep the last.

    Args:
        text: as received; the caller limits its length.
        code: of the error.
        what: the value, as the first words of the error's sentence.

    Raises:
        MalformedInput: with that code.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("duplicate member")
        return members

    def no_constant(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise MalformedInput(code, f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedInput(code, f"{what} is not a JSON object")
    return value
