"""One JSON object from outside, without what parsers read differently.

Standard: RFC 8259; RFC 7493 section 2.3 (no duplicate names).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from doorward.core.errors import MalformedInput


def parse_json_object(text: bytes | str, *, code: str, what: str) -> dict[str, Any]:
    """Return the members of one JSON object.

    Duplicate names are refused, since `json` alone keeps the last of two silently; so are `NaN` and `Infinity`.

    Args:
        text: as it came; the caller bounds its length.
        code: of the error.
        what: the value, at the beginning of the error's sentence.

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
