"""Bodies of HTML forms: names and values, each name once.

Standard: WHATWG URL section 5 (`application/x-www-form-urlencoded`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from doorward.core.errors import MalformedInput

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 64 * 1024
MAX_FIELDS = 32


def parse_form(body: bytes) -> Mapping[str, str]:
    """Return the fields of a form.

    Args:
        body: at most 65,536 bytes and 32 fields.

    Raises:
        MalformedInput: `form-malformed`: too long, not UTF-8, or a name occurs twice.
    """
    pairs = [pair for pair in body.split(b"&") if pair]
    if len(body) > MAX_FORM_BYTES or len(pairs) > MAX_FIELDS:
        raise MalformedInput(
            "form-malformed", f"the form has more than {MAX_FORM_BYTES} bytes or {MAX_FIELDS} fields"
        )
    fields: dict[str, str] = {}
    for pair in pairs:
        name, value = (_decode(part) for part in pair.partition(b"=")[::2])
        if name in fields:
            raise MalformedInput("form-malformed", f"the form has the field {name[:80]!a} twice")
        fields[name] = value
    return MappingProxyType(fields)


def _decode(part: bytes) -> str:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedInput("form-malformed", "the form is not UTF-8") from None
